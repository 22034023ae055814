package demo

import (
	"flag"
	"os"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/grouplab"
)

var (
	all    = flag.Bool("all", false, "play every row of testdata/expected.txt: some minutes")
	update = flag.Bool("update", false, "rewrite the golden files")
)

func TestMain(m *testing.M) {
	grouplab.RunIfChild()
	flag.Parse()
	os.Exit(m.Run())
}
