package journal_test

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"pollux/polluxtest"
)

// proxy stands between a recorder and rrdcached and can make the daemon look slow or its disk full.
type proxy struct {
	target  string
	address string
	busy    atomic.Bool // STATS says that files wait to be written
	full    atomic.Bool // CREATE is refused as on a full disk
	refused atomic.Int64
	infos   atomic.Int64 // INFO of other files than the tree's identity
	probed  func()       // is called before a probe goes on
}

func newProxy(t *testing.T, rrd *polluxtest.Server) *proxy {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pxj")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: rrd.Socket, address: "unix:" + filepath.Join(dir, "s")}
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
		_ = os.RemoveAll(dir)
	})
	serving.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	})
	return p
}

// serve copies lines both ways until one side ends.
func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	daemon, err := net.Dial("unix", p.target)
	if err != nil {
		return
	}
	defer daemon.Close()
	go func() {
		defer client.Close()
		lines(daemon, func(line []byte) error {
			if p.busy.Load() && bytes.HasPrefix(line, []byte("QueueLength:")) {
				line = []byte("QueueLength: 7\n")
			}
			_, err := client.Write(line)
			return err
		})
	}()
	lines(client, func(line []byte) error {
		if p.full.Load() && bytes.HasPrefix(line, []byte("CREATE ")) {
			p.refused.Add(1)
			_, err := client.Write([]byte("-1 RRD Error: \n"))
			return err
		}
		if bytes.HasPrefix(line, []byte("INFO ")) && !bytes.Contains(line, []byte("_pollux")) {
			p.infos.Add(1)
		}
		if p.probed != nil && bytes.HasSuffix(line, []byte(" 1:0\n")) {
			p.probed()
		}
		_, err := daemon.Write(line)
		return err
	})
}

func lines(from net.Conn, do func([]byte) error) {
	reader := bufio.NewReader(from)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil || do(line) != nil {
			return
		}
	}
}
