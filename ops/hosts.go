package ops

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// hosts are the names under which a listener may be asked. A page of another
// site can have its own name resolve to this machine (DNS rebinding), and would then read
// what its visitor's browser reaches; but the browser says the name that it asked for.
type hosts struct {
	names map[string]bool // lower case, without a port
	addrs map[netip.Addr]bool
	any   bool // any address: it listens on all of them
}

// newHosts allows the address that is listened on, loopback, and further names
// or addresses. A listener on all addresses allows every address, and this machine's name.
func newHosts(listen string, further []string) hosts {
	h := hosts{names: map[string]bool{"localhost": true}, addrs: map[netip.Addr]bool{}}
	own, _, err := net.SplitHostPort(listen)
	if err != nil {
		own = listen
	}
	if addr, err := netip.ParseAddr(own); own == "" || err == nil && addr.IsUnspecified() {
		h.any = true
		if name, err := os.Hostname(); err == nil {
			short, _, _ := strings.Cut(name, ".")
			further = append([]string{name, short}, further...)
		}
	} else {
		further = append([]string{own}, further...)
	}
	for _, host := range further {
		if addr, err := netip.ParseAddr(host); err == nil {
			h.addrs[addr.Unmap()] = true
		} else if host = plainName(host); host != "" {
			h.names[host] = true
		}
	}
	return h
}

func plainName(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

// allow judges the Host of a request, with or without a port. Browsers always
// send one; an asker of HTTP/1.0 that sends none is none.
func (h hosts) allow(host string) bool {
	if host == "" {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if err != nil {
		return h.names[plainName(host)]
	}
	addr = addr.Unmap()
	return h.any || addr.IsLoopback() || h.addrs[addr]
}

// only refuses requests for other names with 421 (RFC 9110, 15.5.20).
func (h hosts) only(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.allow(r.Host) {
			http.Error(w, "this listener is not asked under that name; ask it by its address, or add the name to POLLUX_OPS_HOSTS", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
