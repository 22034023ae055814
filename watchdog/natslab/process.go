package natslab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// launcher starts all child processes from one OS thread: Linux ties the
// parent-death signal to the thread that forked, not to the process.
type launcher struct {
	exe  string
	jobs chan func()
	wg   sync.WaitGroup

	mu      sync.Mutex
	running map[*process]struct{}
}

func newLauncher() (*launcher, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the running binary: %w", err)
	}
	l := &launcher{exe: exe, jobs: make(chan func()), running: make(map[*process]struct{})}
	l.wg.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for job := range l.jobs {
			job()
		}
	})
	return l, nil
}

// close kills every child and waits for its end.
func (l *launcher) close() error {
	l.mu.Lock()
	var errs []error
	for p := range l.running {
		errs = append(errs, p.signal(syscall.SIGKILL))
	}
	l.mu.Unlock()
	close(l.jobs)
	l.wg.Wait()
	return errors.Join(errs...)
}

// process is one running child.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // closed when the child was reaped
}

// start runs the current binary once more, told by variables of its environment
// what to be. The files are the child's descriptors from 3 on.
func (l *launcher) start(env []string, logFile string, files ...*os.File) (*process, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(l.exe)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = files
	cmd.SysProcAttr = childAttr()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error, 1)
	l.jobs <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start a child for %s: %w", env[0], err)
	}
	p := &process{cmd: cmd, stdin: stdin, done: make(chan struct{})}
	l.mu.Lock()
	l.running[p] = struct{}{}
	l.mu.Unlock()
	l.wg.Go(func() { l.reap(p) })
	return p, nil
}

// reap waits for a child's end.
func (l *launcher) reap(p *process) {
	_ = p.cmd.Wait() // its exit code tells nothing: servers are killed here
	_ = p.stdin.Close()
	l.mu.Lock()
	delete(l.running, p)
	l.mu.Unlock()
	close(p.done)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// signal sends a signal; a process that is gone is not an error.
func (p *process) signal(sig syscall.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// kill ends the process with SIGKILL, paused or not, and waits for its end.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill process %d: %w", p.pid(), err)
	}
	<-p.done
	return nil
}
