package config

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Quantity is a Kubernetes quantity such as 500m or 10Gi.
type Quantity string

// Secret is a value that no formatting prints. Its zero value means absent.
type Secret struct{ value string }

// NewSecret hides a value.
func NewSecret(value string) Secret { return Secret{value: value} }

// Given says whether there is a value.
func (s Secret) Given() bool { return s.value != "" }

// Input is the value as a Pulumi secret, or nil when absent.
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
