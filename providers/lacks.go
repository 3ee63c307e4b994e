package providers

import (
	"errors"
	"fmt"
)

// Lacks lists what an existing cluster lacks, each with the setting or the key to change.
type Lacks []error

// Add adds what is lacking.
func (l *Lacks) Add(format string, args ...any) { *l = append(*l, fmt.Errorf(format, args...)) }

// Err returns all of them as one error, nil when nothing is lacking.
func (l Lacks) Err() error { return errors.Join(l...) }
