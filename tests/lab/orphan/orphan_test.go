package orphan_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vllm-autoscaling/tests/lab/orphan"
)

// role is the variable that runs the test's own binary as a parent that starts a child, or as that child.
const role = "ORPHAN_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "parent":
		child := exec.Command(os.Args[0])
		child.Env, child.Stdout = append(os.Environ(), role+"=child"), os.Stdout
		if err := child.Start(); err != nil {
			fmt.Println(err)
		}
		// Until it is killed. An empty select would be a deadlock, because there is no other goroutine.
		time.Sleep(time.Minute)
	case "child":
		ctx, cancel := orphan.Context(context.Background())
		defer cancel()
		fmt.Print("watching")
		select {
		case <-ctx.Done():
			fmt.Print(", orphaned")
		case <-time.After(time.Minute): // or the child would never end
			fmt.Print(", forgotten")
		}
	default:
		os.Exit(m.Run())
	}
}

func TestContextEndsWithTheParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), role+"=parent")
	output, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	began := make([]byte, len("watching"))
	_, err = io.ReadFull(output, began)
	require.NoError(t, errors.Join(err, parent.Process.Kill()))
	require.Equal(t, "watching", string(began))
	// The child inherits the pipe, so that reading ends only when both have ended.
	rest, err := io.ReadAll(output)
	require.NoError(t, err)
	require.Equal(t, ", orphaned", string(rest))
	require.Error(t, parent.Wait(), "killed")
}

func TestContextEndsWithItsParentContextOrCancel(t *testing.T) {
	outer, end := context.WithCancel(context.Background())
	ctx, cancel := orphan.Context(outer)
	defer cancel()
	require.NoError(t, ctx.Err(), "the process that runs this test is there")
	end()
	<-ctx.Done()

	ctx, cancel = orphan.Context(context.Background())
	cancel()
	require.ErrorIs(t, ctx.Err(), context.Canceled)
}
