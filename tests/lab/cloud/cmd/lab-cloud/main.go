// Command lab-cloud stands for the programs that reach the lab's clouds: the Pulumi plugins of Google Cloud, AWS and
// Azure and the authentication programs of their clusters. It is called by those names, and everything that they do
// is done in the lab's process: this one only passes calls and answers on.
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

// addressVariable says where the lab's clouds listen. Its name is repeated here so that this program needs nothing but
// the standard library and starts at once.
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

// plugin has a provider started, tells the engine its port and lives as long as both.
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
		return 1, fmt.Errorf("the lab's clouds told no port: %w", err)
	}
	// The plugin protocol: one line with the port, nothing else on stdout.
	fmt.Print(port)
	// The provider lives as long as this connection.
	if _, err := io.Copy(io.Discard, answer); err != nil && ctx.Err() == nil {
		return 1, err
	}
	return 0, nil
}

// credentials has the call answered and prints what is answered.
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
	// On loopback, whatever proxy the user has.
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
