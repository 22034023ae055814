package watchdog_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/grouplab"
)

var wholeFlag = flag.Bool("whole", false, "play the long tests in every world; -run with a test's name does so for that test")

// whole says whether a long test is to be played in every world: the README's `go test ./...` has to stay within minutes.
func whole(test string) bool {
	return *wholeFlag || strings.Contains(flag.Lookup("test.run").Value.String(), test)
}

func TestMain(m *testing.M) {
	grouplab.RunIfChild()
	// The tests wait for outages to last far more than they compute, so more of them than cores may run at once.
	if err := flag.Set("test.parallel", "3"); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(m.Run())
}
