package watchdog_test

import (
	"flag"
	"os"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/grouplab"
)

func TestMain(m *testing.M) {
	grouplab.RunIfChild()
	// The tests wait for outages to last far more than they compute, so more of them than cores may run at once.
	if err := flag.Set("test.parallel", "3"); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(m.Run())
}
