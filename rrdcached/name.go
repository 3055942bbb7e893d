package rrdcached

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

const (
	maxFile      = 1000 // bytes of a file name; rrdcached 1.7.2 was seen to die of a line of 20,000
	maxComponent = 255  // bytes between two slashes, NAME_MAX of Linux
	maxUnixPath  = 107  // bytes, sun_path of unix(7) less its NUL
)

// fileBytes marks the bytes that a file name may hold. All of them mean
// themselves to rrdcached, to the shell and in a URL path.
var fileBytes = byteSet("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.,/~-")

// byteSet makes a table of the bytes of text.
func byteSet(text string) (set [256]bool) {
	for i := range len(text) {
		set[text[i]] = true
	}
	return set
}

// CheckFile says with ErrFile why name is not a file name that this package
// sends: relative to the daemon's base directory, 1-1,000 bytes of
// [A-Za-z0-9_.,/~-], components of 1-255 bytes, none of them ".", no ".."
// anywhere, no leading "-". rrdcached itself checks less: option -B stops
// neither symbolic links nor the source file of CREATE.
func CheckFile(name string) error {
	if name == "" || len(name) > maxFile {
		return fmt.Errorf("%w: %d bytes, want 1 to %d", ErrFile, len(name), maxFile)
	}
	if name[0] == '-' {
		return fmt.Errorf("%w: %q begins with a minus", ErrFile, printable(name))
	}
	start := 0
	for i := range len(name) + 1 {
		if i < len(name) && name[i] != '/' {
			if !fileBytes[name[i]] {
				return fmt.Errorf("%w: %q holds byte 0x%02x", ErrFile, printable(name), name[i])
			}
			if name[i] == '.' && i > 0 && name[i-1] == '.' {
				return fmt.Errorf("%w: %q holds two dots", ErrFile, printable(name))
			}
			continue
		}
		if i == start || i-start > maxComponent || name[start:i] == "." {
			return fmt.Errorf("%w: %q has a component that is empty, a dot or over %d bytes", ErrFile, printable(name), maxComponent)
		}
		start = i + 1
	}
	return nil
}

// ParseAddress splits the address of a daemon into what net.Dial takes:
// "unix:/path" or "/path" into "unix" and the path, "host:port" into "tcp" and
// itself. Anything else is ErrAddress. It does not look whether the daemon is there.
func ParseAddress(address string) (network, dial string, err error) {
	bad := func(why string) (string, string, error) {
		return "", "", fmt.Errorf("rrdcached address %q: %s: %w", printable(address), why, ErrAddress)
	}
	for i := range len(address) {
		if address[i] <= ' ' || address[i] == 0x7f {
			return bad("it holds a space or a control character")
		}
	}
	if path, isUnix := strings.CutPrefix(address, "unix:"); isUnix || strings.HasPrefix(address, "/") {
		if !strings.HasPrefix(path, "/") || path == "/" {
			return bad("the path of the socket must begin with a slash and name a file")
		}
		if len(path) > maxUnixPath {
			return bad(fmt.Sprintf("the path of a socket has at most %d bytes", maxUnixPath))
		}
		return "unix", path, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return bad("no port")
	}
	if host == "" || len(host) > 255 || strings.ContainsAny(host, "/@") {
		return bad("no host")
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return bad("the port must be 1 to 65535")
	}
	return "tcp", address, nil
}
