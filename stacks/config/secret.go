package config

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Quantity is a Kubernetes quantity such as 500m or 10Gi.
type Quantity string

// amount returns the parsed quantity, or 0 for an empty or invalid one.
func (q Quantity) amount() resource.Quantity {
	amount, err := resource.ParseQuantity(string(q))
	if err != nil {
		return resource.Quantity{}
	}
	return amount
}

// Secret is a string that fmt does not print. Its zero value means absent.
type Secret struct{ value string }

// NewSecret returns a secret with the given value.
func NewSecret(value string) Secret { return Secret{value: value} }

// Given reports whether there is a value.
func (s Secret) Given() bool { return s.value != "" }

// Input returns the value as a Pulumi secret, or nil when absent.
func (s Secret) Input() pulumi.StringPtrInput {
	if !s.Given() {
		return nil
	}
	return pulumi.ToSecret(pulumi.StringPtr(s.value)).(pulumi.StringPtrOutput)
}

// Format prints a placeholder for every verb, so that a Config can be logged.
func (s Secret) Format(f fmt.State, _ rune) {
	if s.Given() {
		_, _ = f.Write([]byte("[secret]"))
	}
}
