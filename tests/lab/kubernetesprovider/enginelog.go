package kubernetesprovider

import (
	"context"
	"fmt"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// engineLog writes messages of a resource to the engine that runs the update. A nil engineLog drops them.
type engineLog struct {
	connection *grpc.ClientConn
	engine     pulumirpc.EngineClient
}

// dialEngine connects to the engine that listens at an address on this machine.
func dialEngine(address string) (*engineLog, error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connecting to the engine at %s: %w", address, err)
	}
	return &engineLog{connection: conn, engine: pulumirpc.NewEngineClient(conn)}, nil
}

// write sends a line. An ephemeral line is replaced by the next one and not recorded. A line that cannot be delivered is
// dropped, because that must not fail an operation.
func (l *engineLog) write(ctx context.Context, severity pulumirpc.LogSeverity, urn, message string, ephemeral bool) {
	if l == nil {
		return
	}
	_, _ = l.engine.Log(ctx, &pulumirpc.LogRequest{Severity: severity, Urn: urn, Message: message, Ephemeral: ephemeral})
}

func (l *engineLog) close() {
	if l != nil {
		_ = l.connection.Close()
	}
}
