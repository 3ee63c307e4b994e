package components

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"vllm-autoscaling/components/signals"
)

// validateNamespace reports a string that cannot be the name of a namespace.
func validateNamespace(field, name string) error {
	if validation.IsDNS1123Label(name) != nil {
		return fmt.Errorf("%s %q is not the name of a namespace (lower-case letters, digits and -, at most 63)", field, name)
	}
	return nil
}

// NetworkProblem returns what is wrong with a network in CIDR notation, or "".
func NetworkProblem(cidr string) string {
	prefix, err := netip.ParsePrefix(cidr)
	switch {
	case err != nil || prefix.Addr().Is4In6():
		return "an address, a slash and the number of leading bits"
	case prefix != prefix.Masked():
		return fmt.Sprintf("the network of this address is %s", prefix.Masked())
	}
	return ""
}

// validateNetwork reports a string that is not a network.
func validateNetwork(field, cidr string) error {
	if problem := NetworkProblem(cidr); problem != "" {
		return fmt.Errorf("%s %q is not a network such as 10.0.0.0/16: %s", field, cidr, problem)
	}
	return nil
}

// validateHost reports a string that is not the name of a host, which vLLM compares as it is.
func validateHost(field, host string) error {
	if validation.IsDNS1123Subdomain(host) != nil {
		return fmt.Errorf("%s %q is not the name of a host (lower-case letters, digits, - and .)", field, host)
	}
	return nil
}

// validateImage reports an image without an exact version.
func validateImage(image string) error {
	if strings.Contains(image, "@sha256:") {
		return nil
	}
	_, tag, tagged := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	if !tagged || tag == "" || tag == "latest" {
		return fmt.Errorf("image %q has no version (such as vllm/vllm-openai:v0.20.0-cu129, or a digest)", image)
	}
	return nil
}

// validateQuantity reports a string that is not a positive Kubernetes quantity.
func validateQuantity(field, value string) error {
	quantity, err := resource.ParseQuantity(value)
	if err != nil || quantity.Sign() <= 0 {
		return fmt.Errorf("%s %q is not a quantity above 0 (such as 500m, 2 or 10Gi)", field, value)
	}
	return nil
}

// validateInterval reports an interval that Prometheus cannot scrape or evaluate at.
func validateInterval(field string, d time.Duration) error {
	if d < time.Second || d%time.Millisecond != 0 {
		return fmt.Errorf("%s %s is not a scrape or evaluation interval (at least 1s, in whole milliseconds)", field, d)
	}
	return nil
}

// validatePort reports a port that a process without root cannot listen on.
func validatePort(field string, port int) error {
	if port < 1024 || port > 65535 {
		return fmt.Errorf("%s %d not possible (1024 to 65535: nothing here runs as root)", field, port)
	}
	return nil
}

// validateAdapter reports arguments with which no adapter of the custom metrics API can run.
func validateAdapter(listenPort, replicas int, served []signals.Signal) error {
	problems := []error{validatePort("listen port", listenPort)}
	if replicas < 1 {
		problems = append(problems, fmt.Errorf("replicas %d not possible (at least 1)", replicas))
	}
	if len(served) == 0 {
		problems = append(problems, errors.New("no signal to serve: switch at least one on"))
	}
	return errors.Join(problems...)
}
