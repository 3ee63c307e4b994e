package trace

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClosedLoop(t *testing.T) {
	const text = "closed:users=20,think=5s,length=30m,input=500,inputSigma=0,output=150,outputSigma=0"
	assert.True(t, IsClosed(text))
	assert.False(t, IsClosed("poisson:users=20"))
	assert.False(t, IsClosed("trace.csv"))
	c, err := ParseClosed(text, Options{Seed: 4})
	require.NoError(t, err)
	assert.Equal(t, 20, c.Users)
	assert.Equal(t, 5*time.Second, c.Think)
	assert.Equal(t, 30*time.Minute, c.Length)
	assert.EqualValues(t, 4, c.Seed)
	assert.Equal(t, text+",seed=4", c.String())
	input, output := c.Tokens(rand.New(rand.NewPCG(1, 1)))
	assert.Equal(t, []int{500, 150}, []int{input, output})

	c, err = ParseClosed(text+",seed=9", Options{Seed: 4, Speed: 1, Scale: 1, MaxInput: 60, MaxOutput: 30})
	require.NoError(t, err)
	assert.EqualValues(t, 9, c.Seed)
	input, output = c.Tokens(rand.New(rand.NewPCG(1, 1)))
	assert.Equal(t, []int{60, 30}, []int{input, output}, "the caps of the options apply")

	c, err = ParseClosed("closed:users=1", Options{})
	require.NoError(t, err)
	assert.Equal(t, "closed:users=1,think=0s,length=1h,input=1020,inputSigma=0.77,output=129,outputSigma=0.93,seed=0", c.String())
}

func TestBadClosedLoops(t *testing.T) {
	for text, message := range map[string]string{
		"closed:":                  "users is missing: want a number from 1 to 100000",
		"closed:users=1.5":         "users=1.5: want a whole number",
		"closed:users=0,think=-1s": `users="0": want a number from 1 to 100000; think="-1s": want a duration from 0s to 8784h0m0s`,
		"closed:rate=4":            `"rate" is no key of closed: want users, think, length, input, inputSigma, output, outputSigma, seed`,
	} {
		_, err := ParseClosed(text, Options{})
		require.ErrorContains(t, err, message)
	}
	for _, o := range []Options{{Speed: 2}, {Scale: 2}, {Start: 1}, {Length: 1}} {
		_, err := ParseClosed("closed:users=1", o)
		require.ErrorContains(t, err, "change users, think and length instead")
	}
	_, err := ParseClosed("closed:users=1", Options{Scale: 200})
	require.ErrorContains(t, err, "-scale 200: want a factor")
}
