package rrdcached

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestParseArchives(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]Archive{
		"AVERAGE:1x2016 6x1440 MAX:6x1440": {{"AVERAGE", 0.5, 1, 2016}, {"AVERAGE", 0.5, 6, 1440}, {"MAX", 0.5, 6, 1440}},
		" AVERAGE:1x360\tMAX:6x360 \n":     {{"AVERAGE", 0.5, 1, 360}, {"MAX", 0.5, 6, 360}},
		"LAST:1x1":                         {{"LAST", 0.5, 1, 1}},
	} {
		got, err := ParseArchives(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if written := FormatArchives(got); written != strings.Join(strings.Fields(text), " ") {
			t.Errorf("%q came back as %q", text, written)
		}
	}
	for _, text := range []string{"", "1x2016", "AVERAGE", "AVERAGE:", "AVERAGE: 1x2", "average:1x2", "AVERAGE:0x2", "AVERAGE:1x0", "AVERAGE:1x1000001",
		"AVERAGE:-1x2", "AVERAGE:+1x2", "AVERAGE:1x2x3", "AVERAGE:1X2", "AVERAGE:1x2 AVERAGE:1x2", "HWPREDICT:1x2", "AVERAGE:1x2 MAX", "AVERAGE:MAX:1x2",
		"AVERAGE:1x99999999999999999999", "AVERAGE:" + strings.Repeat("1x2 ", 600), "AVERAGE:1 x 2", "AVERAGE:1x2\n.\n"} {
		if got, err := ParseArchives(text); !errors.Is(err, ErrBadValue) || got != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func FuzzParseArchives(f *testing.F) {
	f.Add("AVERAGE:1x2016 6x1440 24x1440 288x1440 MAX:6x1440 24x1440 288x1440")
	f.Add("MIN:1x1 LAST:2x2 MIN:3x3")
	f.Fuzz(func(t *testing.T, text string) {
		archives, err := ParseArchives(text)
		if err != nil {
			return
		}
		again, err := ParseArchives(FormatArchives(archives))
		if err != nil || !reflect.DeepEqual(again, archives) {
			t.Errorf("%q: %v, then %v, %v", text, archives, again, err)
		}
	})
}

func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	good := func() Schema { return portSchema(300) }
	must(t, good().Validate())
	for name, spoil := range map[string]func(*Schema){
		"step 0":            func(s *Schema) { s.Step = 0 },
		"step of two days":  func(s *Schema) { s.Step = 172_800 },
		"no source":         func(s *Schema) { s.Sources = nil },
		"101 sources":       func(s *Schema) { s.Sources = make([]Source, 101) },
		"twice the name":    func(s *Schema) { s.Sources[1].Name = s.Sources[0].Name },
		"long name":         func(s *Schema) { s.Sources[1].Name = strings.Repeat("a", 20) },
		"empty name":        func(s *Schema) { s.Sources[1].Name = "" },
		"newline in a name": func(s *Schema) { s.Sources[1].Name = "a\n" },
		"type":              func(s *Schema) { s.Sources[1].Type = "COMPUTE" },
		"heartbeat":         func(s *Schema) { s.Sources[1].Heartbeat = 0 },
		"limits equal":      func(s *Schema) { s.Sources[1].Max = 0 },
		"limits swapped":    func(s *Schema) { s.Sources[1].Min, s.Sources[1].Max = 2, 1 },
		"no archive":        func(s *Schema) { s.Archives = nil },
		"51 archives":       func(s *Schema) { s.Archives = make([]Archive, 51) },
		"function":          func(s *Schema) { s.Archives[1].Function = "AVERAGE\n" },
		"xff 1":             func(s *Schema) { s.Archives[1].XFF = 1 },
		"xff not a number":  func(s *Schema) { s.Archives[1].XFF = math.NaN() },
		"no rows":           func(s *Schema) { s.Archives[1].Rows = 0 },
		"a file of gigabytes": func(s *Schema) {
			for range 20 {
				s.Archives = append(s.Archives, Archive{"MAX", 0.5, len(s.Archives), maxRows})
			}
		},
	} {
		schema := good()
		spoil(&schema)
		if err := schema.Validate(); !errors.Is(err, ErrBadValue) {
			t.Errorf("%s: %v", name, err)
		}
	}
	open := good()
	open.Sources[0].Min, open.Sources[0].Max = NoLimit, math.NaN()
	open.Sources[1].Min, open.Sources[1].Max = math.Inf(-1), NoLimit
	must(t, open.Validate())
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][2]string{
		"unix:/run/rrdcached.sock": {"unix", "/run/rrdcached.sock"},
		"/run/rrdcached.sock":      {"unix", "/run/rrdcached.sock"},
		"rrd1.example.net:42217":   {"tcp", "rrd1.example.net:42217"},
		"127.0.0.1:1":              {"tcp", "127.0.0.1:1"},
		"[2001:db8::1]:42217":      {"tcp", "[2001:db8::1]:42217"},
	} {
		network, dial, err := ParseAddress(address)
		if err != nil || network != want[0] || dial != want[1] {
			t.Errorf("%q: %s %s %v", address, network, dial, err)
		}
	}
	for _, address := range []string{"", "unix:", "unix:/", "/", "unix:run/s", "unix:/" + strings.Repeat("x", 107), "host", "host:", "host:0", "host:65536", "host:http",
		"host:-1", ":42217", "2001:db8::1:42217", "http://host:1", "user@host:1", "a b:1", "host:1\n", "a:1,b:2", "unix:/a b"} {
		if _, _, err := ParseAddress(address); !errors.Is(err, ErrAddress) {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := Dial(t.Context(), "nonsense"); !errors.Is(err, ErrAddress) || errors.Is(err, ErrConnection) {
		t.Errorf("dial: %v", err)
	}
}
