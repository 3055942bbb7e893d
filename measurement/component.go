package measurement

import (
	"regexp"
	"strings"
)

// maxComponentName bounds the name of a component's file, without generation and ending.
const maxComponentName = 180

// unnamed are the characters that LibreNMS replaces in the names of RRD files.
var unnamed = regexp.MustCompile(`[^A-Za-z0-9,._-]`)

// dots are those that package rrdcached sends in no name: two in a row, and one at the end, before ".rrd".
var dots = regexp.MustCompile(`\.{2,}|\.$`)

// generationEnd is what would read as a generation at the end of a name.
var generationEnd = regexp.MustCompile(`-g[1-9][0-9]{0,8}$`)

// ComponentName is the name of a component's file as LibreNMS makes it, without
// generation and ending. definition is the one that found it: "processor-fortigate-1", "mempool-ucd-system-1",
// "storage-hrstorage-_var", "sensor-temperature-cisco-envmon-1006".
func ComponentName(kind, class, definition, index, descr string) string {
	parts := []string{kind}
	switch kind {
	case "mempool":
		parts = append(parts, definition, class, index)
	case "storage":
		parts = append(parts, definition, descr)
	case "sensor":
		parts = append(parts, class, definition, index)
	case "host":
		parts = []string{index} // the name of its file
	default:
		parts = append(parts, definition, index)
	}
	name := unnamed.ReplaceAllString(strings.Join(parts, "-"), "_")
	name = dots.ReplaceAllString(name[:min(len(name), maxComponentName)], "_")
	if generationEnd.MatchString(name) {
		name += "_"
	}
	return name
}
