// Command pulumi-resource-kubernetes is the lab's double of the Pulumi Kubernetes plugin. The Pulumi engine starts
// it with its own address as the only argument and reads the port it serves on from stdout.
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

// exitGrace is how long operations under way may take to end once the engine is gone.
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
	// The engine ends a plugin with SIGINT, an operator with SIGTERM.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
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
	// The plugin protocol: one line with the port, nothing else on stdout.
	if _, err := fmt.Println(server.Port); err != nil {
		return fmt.Errorf("telling the engine the port: %w", err)
	}

	select {
	case err := <-server.Done:
		return err
	case <-ctx.Done():
	}
	// Operations under way end with Close, then the server has nothing left to wait for.
	provider.Close()
	close(cancelServer)
	select {
	case err := <-server.Done:
		return err
	case <-time.After(exitGrace):
		return nil
	}
}
