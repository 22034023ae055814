package grouplab_test

import (
	"os"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/grouplab"
)

func TestMain(m *testing.M) {
	grouplab.RunIfChild()
	os.Exit(m.Run())
}
