package natslab

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	RunIfChild()
	if os.Getenv(envCrash) != "" {
		crashingParent()
	}
	goleak.VerifyTestMain(m)
}
