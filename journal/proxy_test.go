package journal_test

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"pollux/polluxtest"
)

// proxy stands between a recorder and rrdcached and can make the daemon look slow or its disk full.
type proxy struct {
	address string
	busy    atomic.Bool // STATS says that files wait to be written
	full    atomic.Bool // CREATE is refused as on a full disk
	unseen  atomic.Bool // INFO is refused as by a daemon without a file descriptor
	refused atomic.Int64
	infos   atomic.Int64 // INFO of other files than the tree's identity
	probed  func()       // is called before a probe goes on

	writes  time.Duration // files wait for so long behind each update, and never else; 0: as the daemon says
	updated atomic.Int64  // Unix ns of the last update
}

func newProxy(t *testing.T, rrd *polluxtest.Server) *proxy {
	t.Helper()
	p := &proxy{}
	p.address = polluxtest.NewProxy(t, rrd.Address, polluxtest.Relay{Request: p.request, Reply: p.reply}).Address
	return p
}

func (p *proxy) reply(line []byte) []byte {
	if p.busy.Load() && bytes.HasPrefix(line, []byte("QueueLength:")) {
		return []byte("QueueLength: 7\n")
	}
	if p.writes > 0 && bytes.HasPrefix(line, []byte("QueueLength:")) {
		if time.Now().UnixNano()-p.updated.Load() < p.writes.Nanoseconds() {
			return []byte("QueueLength: 7\n")
		}
		return []byte("QueueLength: 0\n")
	}
	return line
}

func (p *proxy) request(line []byte) (answer []byte) {
	if p.full.Load() && bytes.HasPrefix(line, []byte("CREATE ")) {
		p.refused.Add(1)
		return []byte("-1 RRD Error: \n")
	}
	if bytes.HasPrefix(line, []byte("INFO ")) && !bytes.Contains(line, []byte("_pollux")) {
		p.infos.Add(1)
		if p.unseen.Load() {
			return []byte("-1 RRD Error: opening it: Too many open files\n")
		}
	}
	if bytes.HasPrefix(line, []byte("UPDATE ")) {
		p.updated.Store(time.Now().UnixNano())
	}
	if p.probed != nil && bytes.HasSuffix(line, []byte(" 1:0\n")) {
		p.probed()
	}
	return nil
}
