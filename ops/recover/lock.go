package recover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Lock is the lock that a command holds on a state.
type Lock struct {
	Process int       `json:"pid"`
	User    string    `json:"username"`
	Host    string    `json:"hostname"`
	Since   time.Time `json:"timestamp"`
}

// Locks lists the locks of a stack's state, and whether the backend lets them be seen at all.
func (p *Pulumi) Locks(ctx context.Context) (locks []Lock, visible bool, err error) {
	folder, err := p.folder(ctx)
	if err != nil || folder == "" {
		return nil, false, err
	}
	project, err := projectName(p.Project)
	if err != nil {
		return nil, false, err
	}
	files, err := filepath.Glob(filepath.Join(folder, "locks", "*", project, lastPart(p.Stack), "*.json"))
	if err != nil {
		return nil, false, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // released meanwhile
		}
		if err != nil {
			return nil, false, err
		}
		var lock Lock
		if err := json.Unmarshal(content, &lock); err != nil {
			lock = Lock{Host: "an unknown host"} // the process was killed while it wrote the file
		}
		locks = append(locks, lock)
	}
	return locks, true, nil
}

// String returns who holds the lock.
func (l Lock) String() string {
	return fmt.Sprintf("%s@%s, process %d, since %s", l.User, l.Host, l.Process, l.Since.UTC().Format(time.RFC3339))
}

// Machine are the processes of this machine.
type Machine interface {
	Host() string
	// Runs reports whether a process is a Pulumi CLI that still runs.
	Runs(process int) bool
	// Orphans lists plugins of Pulumi whose CLI has ended.
	Orphans() []int
}

// ThisMachine is the machine that the command runs on.
type ThisMachine struct{}

// Host returns the name that the CLI writes into a lock.
func (ThisMachine) Host() string { name, _ := os.Hostname(); return name }

// Runs reports whether a process runs and, where the system tells, is a Pulumi CLI: its number may belong to another one by now.
func (ThisMachine) Runs(process int) bool {
	if runtime.GOOS != "linux" {
		return errors.Is(syscall.Kill(process, 0), syscall.EPERM) || syscall.Kill(process, 0) == nil
	}
	name, state, _ := status(process)
	return strings.HasPrefix(name, "pulumi") && state != "Z" && state != "X"
}

// Orphans lists plugins without a CLI, on Linux.
func (ThisMachine) Orphans() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var orphans []int
	for _, entry := range entries {
		process, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		name, state, parent := status(process)
		if !strings.HasPrefix(name, "pulumi-resource") || state == "Z" || state == "X" {
			continue
		}
		if above, state, _ := status(parent); strings.HasPrefix(above, "pulumi") && state != "Z" || elsewhere(process) {
			continue
		}
		orphans = append(orphans, process)
	}
	return orphans
}

// elsewhere reports whether a process works for another installation or another backend of Pulumi than this one.
func elsewhere(process int) bool {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", process))
	if err != nil {
		return false
	}
	for _, variable := range strings.Split(string(content), "\x00") {
		name, value, _ := strings.Cut(variable, "=")
		if (name == "PULUMI_HOME" || name == "PULUMI_BACKEND_URL") && value != os.Getenv(name) {
			return true
		}
	}
	return false
}

// status returns the name, the state and the parent of a process on Linux; "" for one that has ended.
func status(process int) (name, state string, parent int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	if err != nil {
		return "", "", 0
	}
	text := string(stat)
	// The name in parentheses may contain anything.
	from, to := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if from < 0 || to < from {
		return "", "", 0
	}
	fields := strings.Fields(text[to+1:])
	if len(fields) < 2 {
		return "", "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return text[from+1 : to], fields[0], parent
}
