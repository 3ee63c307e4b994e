// Command lab-cloud replaces the programs that reach the lab's clouds: the Pulumi plugins of Google Cloud, AWS and Azure
// and the authentication programs of their clusters. It is installed under their names and forwards every call to the
// lab's process.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"vllm-autoscaling/tests/lab/orphan"
)

// addressVariable is the environment variable with the address of the lab's clouds. Its name is repeated here so that this
// program uses only the standard library and starts at once.
const addressVariable = "VLLM_LAB_CLOUD"

func main() {
	name := filepath.Base(os.Args[0])
	err := errors.New("this program works in the lab only: " + addressVariable + " is not set")
	code := 1
	if address := os.Getenv(addressVariable); address != "" {
		if provider, ok := strings.CutPrefix(name, "pulumi-resource-"); ok {
			code, err = plugin(address, provider)
		} else {
			code, err = credentials(address, name, os.Args[1:])
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	os.Exit(code)
}

// plugin starts a provider in the lab, prints its port for the engine and runs until the engine or the provider ends.
func plugin(address, provider string) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := orphan.Context(ctx)
	defer cancel()
	response, err := post(ctx, address, "/provider/"+provider, nil)
	if err != nil {
		return 1, err
	}
	defer func() { _ = response.Body.Close() }()
	answer := bufio.NewReader(response.Body)
	port, err := answer.ReadString('\n')
	if err != nil {
		return 1, fmt.Errorf("the lab's clouds returned no port: %w", err)
	}
	// The plugin protocol is one line with the port, and nothing else on stdout.
	fmt.Print(port)
	// The provider runs as long as this connection is open.
	if _, err := io.Copy(io.Discard, answer); err != nil && ctx.Err() == nil {
		return 1, err
	}
	return 0, nil
}

// credentials forwards a call of an authentication program and prints the answer.
func credentials(address, program string, args []string) (int, error) {
	call, err := json.Marshal(map[string]any{"Args": args, "Info": os.Getenv("KUBERNETES_EXEC_INFO")})
	if err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	response, err := post(ctx, address, "/credentials/"+program, call)
	if err != nil {
		return 1, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Stdout, Stderr string
		Code           int
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return 1, err
	}
	fmt.Fprint(os.Stderr, answer.Stderr)
	fmt.Print(answer.Stdout)
	return answer.Code, nil
}

func post(ctx context.Context, address, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// The address is on loopback: no proxy of the user applies.
	client := &http.Client{Transport: &http.Transport{}}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("the lab's clouds cannot be reached: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return nil, errors.Join(fmt.Errorf("the lab's clouds: %s: %s", response.Status, bytes.TrimSpace(text)), err)
	}
	return response, nil
}
