// Command pulumi-resource-kubernetes is the lab's double of the Pulumi Kubernetes plugin. The Pulumi engine starts it with
// its own address as the only argument and reads the plugin's port from its standard output.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"

	"vllm-autoscaling/tests/lab/kubernetesprovider"
	"vllm-autoscaling/tests/lab/orphan"
)

// exitGrace is how long operations in progress may take to end after the engine's end.
const exitGrace = 5 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	provider := kubernetesprovider.New()
	defer provider.Close()
	if len(os.Args) > 1 {
		// Without an address the engine attaches later (PULUMI_DEBUG_PROVIDERS).
		if _, err := provider.Attach(context.Background(), &pulumirpc.PluginAttach{Address: os.Args[len(os.Args)-1]}); err != nil {
			return err
		}
	}
	// The engine ends a plugin with SIGINT, a user with SIGTERM.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A killed engine closes the pipe of standard error; writing to it must not end what the plugin completes.
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := orphan.Context(ctx)
	defer cancel()

	cancelServer := make(chan bool)
	server, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: cancelServer,
		Init: func(s *grpc.Server) error {
			pulumirpc.RegisterResourceProviderServer(s, provider)
			return nil
		},
	})
	if err != nil {
		return err
	}
	// The plugin protocol is one line with the port, and nothing else on stdout.
	if _, err := fmt.Println(server.Port); err != nil {
		return fmt.Errorf("telling the engine the port: %w", err)
	}

	select {
	case err := <-server.Done:
		return err
	case <-ctx.Done():
	}
	// Close ends the operations in progress, so that the server has nothing to wait for.
	provider.Close()
	close(cancelServer)
	select {
	case err := <-server.Done:
		return err
	case <-time.After(exitGrace):
		return nil
	}
}
