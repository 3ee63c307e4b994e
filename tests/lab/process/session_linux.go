package process

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attributes starts the program in a session of its own, and lets the kernel kill it when the lab ends. A process group is
// not enough, because the Pulumi CLI starts its plugins in groups of their own.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

var (
	starterOnce sync.Once
	starts      chan func()
)

// onStarter runs f on the one thread that starts every program. The parent-death signal is tied to
// the thread that forked, so this thread is locked and never ends before the process does.
func onStarter(f func() error) error {
	starterOnce.Do(func() {
		starts = make(chan func())
		go func() {
			runtime.LockOSThread()
			for start := range starts {
				start()
			}
		}()
	})
	result := make(chan error, 1)
	starts <- func() { result <- f() }
	return <-result
}

// waitExit returns when the program has ended, without reaping it.
func waitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// killSession kills the processes of the session, repeatedly until none is left, because one may fork meanwhile.
func killSession(session int) {
	for attempt := 0; attempt < 100; attempt++ {
		members := sessionMembers(session)
		if len(members) == 0 {
			return
		}
		for _, pid := range members {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// sessionMembers lists the living processes of a session.
func sessionMembers(session int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var members []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if _, id, ok := relatives(pid); ok && id == session {
			members = append(members, pid)
		}
	}
	return members
}

// relatives returns the parent and the session of a process; ok is false for one that has ended.
func relatives(pid int) (parent, session int, ok bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, false
	}
	// The name in parentheses, which may contain anything, is followed by state, ppid, pgrp and session.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 4 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0, 0, false
	}
	session, err = strconv.Atoi(string(fields[3]))
	return parent, session, err == nil
}
