package providers

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseBucket(t *testing.T) {
	for uri, want := range map[string]Bucket{
		"gs://models/gemma":              {Scheme: "gs", Name: "models", Folder: "gemma"},
		"gs://models.example.com/a/b_1/": {Scheme: "gs", Name: "models.example.com", Folder: "a/b_1"},
		"s3://models/a/b":                {Scheme: "s3", Name: "models", Folder: "a/b"},
		"az://account1/weights/a/b":      {Scheme: "az", Account: "account1", Name: "weights", Folder: "a/b"},
	} {
		got, err := ParseBucket(uri)
		require.NoError(t, err, uri)
		assert.Equal(t, want, got)
		again, err := ParseBucket(got.URI())
		require.NoError(t, err)
		assert.Equal(t, got, again)
	}
	for uri, says := range map[string]string{
		"":                      "does not begin with",
		"models/gemma":          "does not begin with",
		"https://models/gemma":  "does not begin with",
		"gs://models":           "folder is missing",
		"gs://models/":          "folder is missing",
		"gs:///gemma":           "not the name of a bucket",
		"gs://Models/gemma":     "not the name of a bucket",
		"gs://models//gemma":    "has a part",
		"gs://models/a/../b":    "has a part",
		"gs://models/a b":       "has a part",
		"az://weights/gemma":    "folder is missing",
		"az://my-account/w12/a": "storage account",
	} {
		_, err := ParseBucket(uri)
		assert.ErrorContains(t, err, says, uri)
	}
	assert.Empty(t, Bucket{}.URI())
}
