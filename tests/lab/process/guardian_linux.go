package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// guardian is a shell that outlives this process by a moment. It reads the numbers of the sessions that began ("+n") and
// ended ("-n"). Its input ends when this process does, for any reason; then it kills every process of the sessions that
// have not ended. The kernel ends only the processes that this one has started, not theirs.
//
// In /proc/<pid>/stat, the name in parentheses is followed by state, parent, group and session.
const guardian = `
sessions=" "
while read -r change; do
  id=${change#?}
  case $change in
    +*) sessions="$sessions$id " ;;
    -*) case $sessions in *" $id "*) sessions="${sessions%% $id *} ${sessions#* $id }" ;; esac ;;
  esac
done
again=1
while [ "$again" ]; do
  again=
  for stat in /proc/[0-9]*/stat; do
    { read -r line < "$stat"; } 2>/dev/null || continue
    pid=${line%% *}
    set -- ${line##*) }
    case $1 in Z|X) continue ;; esac
    case $sessions in *" $4 "*) kill -KILL "$pid" 2>/dev/null && again=1 ;; esac
  done
done
`

var (
	guardianOnce sync.Once
	guardianPipe io.Writer
	guardianErr  error
)

// guard reports a session that began (+) or ended (-) to the guardian, and starts the guardian at the first call.
func guard(change byte, session int) error {
	guardianOnce.Do(func() {
		r, w, err := os.Pipe() // not passed on to children, so that our end is the only one
		if err != nil {
			guardianErr = err
			return
		}
		cmd := exec.Command("/bin/sh", "-c", guardian, "lab-guardian")
		cmd.Stdin = r
		// In a session of its own it does not receive the user's Ctrl-C.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		guardianErr = cmd.Start()
		guardianPipe = w
		_ = r.Close()
		if guardianErr == nil {
			go func() { _ = cmd.Wait() }()
		}
	})
	if guardianErr != nil {
		return fmt.Errorf("start the process that cleans up: %w", guardianErr)
	}
	_, err := fmt.Fprintf(guardianPipe, "%c%d\n", change, session)
	return err
}
