package accelerators

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Machine is a machine type that carries GPUs.
type Machine struct {
	// Type is the cloud's name, such as g2-standard-4, g6.xlarge or Standard_NC24ads_A100_v4.
	Type string
	// Accelerator is the name of its GPUs.
	Accelerator string
	// GPUs is how many it carries.
	GPUs int
	// CPUs is its number of virtual CPUs, MemoryGiB its main memory.
	CPUs      int
	MemoryGiB float64
}

// Part is a machine type that carries a part of a GPU: a virtual GPU, with its part of the memory.
type Part struct {
	// Type is the cloud's name of the machine type, Accelerator the name of the GPU.
	Type, Accelerator string
	// Of is how many such parts a GPU is divided into: 6 for a sixth.
	Of int
	// MemoryGiB is the memory of the part.
	MemoryGiB float64
}

// String describes the part: 1/6 of nvidia-a10, with 4 GiB.
func (p Part) String() string {
	return fmt.Sprintf("1/%d of %s, with %g GiB", p.Of, p.Accelerator, p.MemoryGiB)
}

// FindPart returns the part that a machine type carries; false for a type that carries whole GPUs or is not known.
func (c Catalogue) FindPart(machineType string) (Part, bool) {
	i := slices.IndexFunc(c.Parts, func(p Part) bool {
		return p.Type == machineType || c.FoldCase && strings.EqualFold(p.Type, machineType)
	})
	if i < 0 {
		return Part{}, false
	}
	return c.Parts[i], true
}

// Catalogue is the machine types of one cloud that carry GPUs. Machines has no types that carry a part of a GPU and no
// ARM machines: the server gets whole GPUs, and its image is for x86_64.
type Catalogue struct {
	// Machines are grouped by accelerator; of each accelerator those with the fewest GPUs come first, and the smaller
	// machine first among those with as many.
	Machines []Machine
	// Parts are the machine types that carry a part of a GPU, as far as they are known. They are refused.
	Parts []Part
	// FoldCase reports whether the cloud does not tell upper from lower case in the names of machine types.
	FoldCase bool
}

// Size returns a machine type of a size, without its GPUs; see Carrying.
func Size(name string, cpus int, memoryGiB float64) Machine {
	return Machine{Type: name, CPUs: cpus, MemoryGiB: memoryGiB}
}

// Carrying returns machine types of the given sizes that carry a number of an accelerator.
func Carrying(accelerator string, gpus int, sizes ...Machine) []Machine {
	for i := range sizes {
		sizes[i].Accelerator, sizes[i].GPUs = accelerator, gpus
	}
	return sizes
}

// Find returns the machine type of a name.
func (c Catalogue) Find(machineType string) (Machine, bool) {
	i := slices.IndexFunc(c.Machines, func(m Machine) bool {
		return m.Type == machineType || c.FoldCase && strings.EqualFold(m.Type, machineType)
	})
	if i < 0 {
		return Machine{}, false
	}
	return c.Machines[i], true
}

// With lists the machine types that carry an accelerator, fewest GPUs first and the smaller machine first among those
// with as many; none where the cloud does not have it.
func (c Catalogue) With(accelerator string) []Machine {
	var found []Machine
	for _, m := range c.Machines {
		if m.Accelerator == accelerator {
			found = append(found, m)
		}
	}
	return found
}

// Accelerators lists the accelerators that some machine type carries, smallest memory first.
func (c Catalogue) Accelerators() []Accelerator {
	var found []Accelerator
	seen := map[string]bool{}
	for _, m := range c.Machines {
		if a, ok := Find(m.Accelerator); ok && !seen[m.Accelerator] {
			found = append(found, a)
		}
		seen[m.Accelerator] = true
	}
	slices.SortStableFunc(found, func(a, b Accelerator) int { return cmp.Compare(a.MemoryGiB, b.MemoryGiB) })
	return found
}
