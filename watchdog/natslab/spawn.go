package natslab

import "syscall"

// Process is a child that is not a server: a watchdog, a publisher. It runs the
// current binary and dies with the lab, as the servers do.
type Process struct{ p *process }

// Spawn runs the current binary once more with more variables in its environment
// ("NAME=value"), by which it knows what to be. Its output goes to a file. Close
// kills it if it still runs.
func (l *Lab) Spawn(env []string, logFile string) (*Process, error) {
	p, err := l.launcher.start(env, logFile)
	if err != nil {
		return nil, err
	}
	return &Process{p: p}, nil
}

// Pid is the child's process id.
func (p *Process) Pid() int { return p.p.pid() }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.p.done }

// Signal sends a signal; a child that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error { return p.p.signal(sig) }

// Kill ends the child with SIGKILL and waits for its end.
func (p *Process) Kill() error { return p.p.kill() }

// ExitCode is the child's exit code, -1 while it runs or when a signal ended it.
func (p *Process) ExitCode() int {
	if p.p.alive() {
		return -1
	}
	return p.p.cmd.ProcessState.ExitCode()
}

// ExitWithParent ends this process when the lab that spawned it is gone. A child
// runs it in a goroutine of its own.
func ExitWithParent() { exitWithParent() }

// Address reserves an address on the loopback for the life of the lab.
func (l *Lab) Address() (string, error) { return l.ports.take() }
