package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"vllm-autoscaling/ops/project"
	"vllm-autoscaling/ops/verify"
)

// options are the parsed command line.
type options struct {
	root       string // The Pulumi project's folder.
	stack      string
	serverName string // One of several servers.
	file       string
	url        string
	length     time.Duration
	apiKey     string
}

// parse reads the command line.
func parse(args []string, env func(string) string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("profile", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.stack, "stack", "", "the deployed stack of which a replica is measured")
	flags.StringVar(&o.serverName, "server", "", "the server of which a replica is measured, in a stack of several")
	flags.StringVar(&o.file, "o", "", "the file to write")
	flags.StringVar(&o.url, "url", "", "address of the replica, such as http://localhost:8000, instead of a port-forward to a ready pod")
	flags.DurationVar(&o.length, "length", 3*time.Minute, "how long to measure; every point is repeated until then")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch at, err := url.Parse(o.url); {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.stack == "":
		return o, errors.New("say which stack: make profile STACK=gke PROFILE=profile.json")
	case o.file == "":
		return o, fmt.Errorf("say where to write the profile: make profile STACK=%s PROFILE=profile.json", o.stack)
	case o.length <= 0:
		return o, fmt.Errorf("-length %s: give a time above 0, such as 3m", o.length)
	case o.url != "" && (err != nil || at.Host == ""):
		return o, fmt.Errorf("-url %q is not an address such as http://localhost:8000", o.url)
	}
	o.url = strings.TrimSuffix(strings.TrimRight(o.url, "/"), "/v1")
	o.apiKey = env(verify.APIKeyVariable)
	var err error
	o.root, err = project.Root()
	return o, err
}
