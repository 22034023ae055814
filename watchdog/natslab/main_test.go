package natslab

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	RunIfChild()
	if os.Getenv(envCrash) != "" {
		crashingParent()
	}
	// Labs mostly wait: for timeouts of the servers, not for a processor.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
