//go:build !unix

package election

import "net"

// alive cannot look into an idle connection on this system, and hopes.
func alive(net.Conn) bool { return true }
