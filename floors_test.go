// Package pollux_test holds the tests over the shape of the whole program.
package pollux_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// floors are the packages by floor: imports go down only, and never sideways
// into a package of the same floor unless beside names it.
var floors = map[string]int{
	"cmd/pollux": 5,
	"producer":   4, "consumer": 4, "web": 4, "standalone": 4,
	"poller": 3, "rrd": 3, "admission": 3,
	"store": 2, "journal": 2, "cluster": 2, "poller/definitions": 2,
	"device": 1, "billing": 1, "measurement": 1, "tasks": 1, "settings": 1, "ops": 1,
	"snmp": 0, "ping": 0, "rrdcached": 0, "migrations": 0, "config": 0, "secret": 0,
}

// beside are the imports within one floor that the design knows.
var beside = map[string][]string{
	"snmp":       {"secret"},              // credentials are confidential
	"config":     {"secret", "rrdcached"}, // keys, and the form of RRDCached's addresses
	"migrations": {"secret", "config"},    // the check value of the key
	"admission":  {"poller"},              // a new device is read as a poll reads it
}

// doors are the packages that may import a third-party module directly.
var doors = map[string][]string{
	"github.com/gosnmp/gosnmp":       {"snmp", "simulator"},
	"golang.org/x/net/icmp":          {"ping"},
	"github.com/uptrace/bun":         {"store", "migrations"},
	"github.com/go-sql-driver/mysql": {"store", "migrations"},
	"github.com/jackc/pgx":           {"store", "migrations"},
	"modernc.org/sqlite":             {"store", "migrations"},
	"github.com/hibiken/asynq":       {"tasks", "producer", "consumer", "web"},
	"github.com/hibiken/asynqmon":    {"producer", "web"},
	// producer and consumer name one type of it: asynq's constructors take our shared client.
	"github.com/redis/go-redis": {"cluster", "journal", "web", "producer", "consumer"},
	"github.com/spf13/cobra":    {"cmd/pollux"},
	"go.yaml.in/yaml":           {"poller/definitions"},
	"github.com/joho/godotenv":  {"config"},
	"github.com/caarlos0/env":   {"config"},
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsGoDownOnly(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, "pollux/")
		floor, onFloor := floors[name]
		for _, imported := range p.Imports {
			lower, ours := strings.CutPrefix(imported, "pollux/")
			if !ours {
				continue
			}
			if lower == "polluxtest" {
				t.Errorf("%s imports polluxtest, which is for tests only", name)
				continue
			}
			lowerFloor, known := floors[lower]
			switch {
			case !onFloor, !known: // beside the floors: simulator, dashboards
				if onFloor && floor < 5 {
					t.Errorf("%s imports %s, which stands beside the floors", name, lower)
				}
			case lowerFloor > floor, lowerFloor == floor && !slices.Contains(beside[name], lower):
				t.Errorf("%s (floor %d) imports %s (floor %d)", name, floor, lower, lowerFloor)
			}
		}
	}
}

func TestThirdPartyModulesHaveOneDoor(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, "pollux/")
		if name == "polluxtest" {
			continue
		}
		for _, imported := range p.Imports {
			for module, allowed := range doors {
				if (imported == module || strings.HasPrefix(imported, module+"/")) && !slices.Contains(allowed, name) {
					t.Errorf("%s imports %s; its door is %s", name, imported, strings.Join(allowed, ", "))
				}
			}
		}
	}
}

func TestEveryPackageHasItsFloor(t *testing.T) {
	t.Parallel()
	besideTheFloors := []string{"simulator", "polluxtest", "dashboards", "pollux"}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, "pollux/")
		if _, known := floors[name]; !known && !slices.Contains(besideTheFloors, name) {
			t.Errorf("%s stands on no floor; see docs/design.md", name)
		}
	}
}
