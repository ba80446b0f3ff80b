package wire

import (
	"context"
	"net"
	"sync"
	"time"
)

// Dialer dials connections that remember when something last came.
type Dialer struct{ net.Dialer }

// DialContext dials as [net.Dialer] does.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &watchedConn{Conn: conn}, nil
}

type watchedConn struct {
	net.Conn
	mu     sync.Mutex
	last   time.Time
	silent bool
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.last = time.Now()
	}
	return n, err
}

// closeIfSilent closes the connection when nothing has come since.
func (c *watchedConn) closeIfSilent(since time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.Before(since) {
		return false
	}
	c.silent = true
	_ = c.Close()
	return true
}

func (c *watchedConn) closedAsSilent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silent
}
