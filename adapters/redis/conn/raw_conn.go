package conn

import (
	"net"
	"syscall"
)

// rawConn is a connection that keeps its [syscall.RawConn]. go-redis asks for one before each command, to notice that the server has closed the connection.
// A [net.TCPConn] allocates a new one each time.
type rawConn struct {
	net.Conn
	raw syscall.RawConn
}

// SyscallConn implements [syscall.Conn].
func (c *rawConn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// keepRaw returns a rawConn, unless conn is nil or has no file descriptor, as a TLS connection. It keeps replies unless into is nil.
func keepRaw(conn net.Conn, into *keptReplies) net.Conn {
	direct, ok := conn.(syscall.Conn)
	if into != nil && conn != nil {
		conn = &keepingConn{Conn: conn, kept: into}
	}
	if !ok {
		return conn
	}
	raw, err := direct.SyscallConn()
	if err != nil {
		return conn
	}
	return &rawConn{Conn: conn, raw: raw}
}
