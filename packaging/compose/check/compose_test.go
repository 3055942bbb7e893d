// Package check_test loads the compose files as Docker Compose v2 does. It is a
// module of its own, so that what compose-go needs is no dependency of Pollux.
package check_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../../.."

// profiles are what make compose-env can be asked for, with the addresses that each set has to name.
var profiles = map[string][]string{
	"":                            {"mariadb", "redis"},
	"pgsql":                       {"postgres", "redis"},
	"sentinel":                    {"mariadb", "redis-1", "redis-2", "redis-3", "sentinel-1", "sentinel-2", "sentinel-3"},
	"pgsql,sentinel,demo,grafana": {"postgres", "redis-1", "redis-2", "redis-3", "sentinel-1", "sentinel-2", "sentinel-3", "simulator", "demo", "grafana"},
}

// always run, whatever the profiles are.
var always = []string{"asynqmon", "consumer", "migrate", "producer", "prometheus", "rrdcached-1", "rrdcached-2"}

// environment runs what make compose-env runs. Files below the root are needed: env_file is relative to it.
func environment(t *testing.T, file string, variables ...string) (string, error) {
	t.Helper()
	command := exec.Command(filepath.Join(root, "packaging/compose/env.sh"))
	command.Env = append(os.Environ(), append(variables, "ENV_FILE="+file)...)
	out, err := command.CombinedOutput()
	return string(out), err
}

// load loads docker-compose.yml from a copy of what it needs of this repository, since it wants a .env beside it.
func load(t *testing.T, wanted string, overrides ...string) *types.Project {
	t.Helper()
	dir := t.TempDir()
	files := append([]string{"docker-compose.yml"}, overrides...)
	for i, name := range files {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		files[i] = filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(files[i], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := filepath.Join(dir, ".env")
	if out, err := environment(t, env, "PROFILES="+wanted); err != nil {
		t.Fatalf("make compose-env PROFILES=%s: %v: %s", wanted, err, out)
	}
	options, err := cli.NewProjectOptions(files, cli.WithWorkingDirectory(dir), cli.WithEnvFiles(env), cli.WithDotEnv, cli.WithDefaultProfiles())
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("PROFILES=%s: %v", wanted, err)
	}
	return project
}

func TestComposeFilesLoadStrictly(t *testing.T) {
	t.Parallel()
	for wanted, more := range profiles {
		for _, overrides := range [][]string{nil, {"packaging/compose/local.yml"}, {"packaging/compose/local.yml", "packaging/compose/e2e.yml"}} {
			project := load(t, wanted, overrides...)
			names := project.ServiceNames()
			want := append(slices.Clone(always), more...)
			slices.Sort(names)
			slices.Sort(want)
			if !slices.Equal(names, want) {
				t.Errorf("PROFILES=%q with %v runs %v, want %v", wanted, overrides, names, want)
			}
		}
	}
}

// What every service has to have, so that it can be scaled, watched and stopped.
func TestEveryServiceIsBounded(t *testing.T) {
	t.Parallel()
	project := load(t, "sentinel,demo,grafana")
	for name, s := range project.Services {
		once := name == "migrate" || name == "demo"
		healthy := s.HealthCheck != nil && len(s.HealthCheck.Test) > 0 || strings.HasPrefix(s.Image, "pollux") // theirs is in the image
		switch {
		case s.ContainerName != "" || s.Hostname != "":
			t.Errorf("%s has a fixed name", name)
		case !once && !healthy:
			t.Errorf("%s has no health check", name)
		case once != (s.Restart == "no"), !once && s.Restart != types.RestartPolicyUnlessStopped:
			t.Errorf("%s restarts %q", name, s.Restart)
		case s.MemLimit == 0, s.PidsLimit == 0:
			t.Errorf("%s has no limits", name)
		case !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged:
			t.Errorf("%s keeps capabilities", name)
		case !slices.Contains(s.SecurityOpt, "no-new-privileges:true"):
			t.Errorf("%s may gain privileges", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s listens on %q of the host", name, port.HostIP)
			}
			if s.Scale != nil {
				t.Errorf("%s has a port of the host and cannot be scaled", name)
			}
		}
	}
	for _, role := range []string{"producer", "consumer"} {
		s := project.Services[role]
		if s.Scale == nil || *s.Scale != 2 || s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < 40*time.Second {
			t.Errorf("%s: scale %v, grace %v", role, s.Scale, s.StopGracePeriod)
		}
	}
}

// A dependency on a service of another profile is refused by docker-compose 1.29.
func TestServicesWaitForMigrateOnly(t *testing.T) {
	t.Parallel()
	for name, s := range load(t, "sentinel,demo,grafana").Services {
		for on, how := range s.DependsOn {
			demo := name == "demo" && on == "simulator" // of one profile
			if !demo && (on != "migrate" || how.Condition != types.ServiceConditionCompletedSuccessfully) {
				t.Errorf("%s depends on %s: %s", name, on, how.Condition)
			}
		}
	}
}

// Secrets go where they are needed: no server gets the key of the cluster, and no command line any of them.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	project := load(t, "sentinel,demo,grafana")
	key := project.Environment["APP_KEY"]
	if !strings.HasPrefix(key, "base64:") {
		t.Fatalf("APP_KEY is %q", key)
	}
	ours := []string{"migrate", "producer", "consumer", "demo"}
	for name, s := range project.Services {
		for variable, value := range s.Environment {
			if value != nil && *value == key && !slices.Contains(ours, name) {
				t.Errorf("%s gets the key as %s", name, variable)
			}
		}
		words := slices.Concat(s.Command, s.Entrypoint)
		if s.HealthCheck != nil {
			words = append(words, s.HealthCheck.Test...)
		}
		for _, word := range words {
			for variable, value := range project.Environment {
				if (strings.Contains(variable, "PASSWORD") || variable == "APP_KEY") && value != "" && strings.Contains(word, value) {
					t.Errorf("%s has %s on a command line", name, variable)
				}
			}
		}
	}
}

// Two services that build one image at once get in each other's way: "image already exists".
func TestEveryImageHasOneBuilder(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile(filepath.Join(root, "packaging/compose/local/images.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []string{"sentinel,demo,grafana", "pgsql,demo"} {
		for _, overrides := range [][]string{nil, {"packaging/compose/local.yml"}} {
			project := load(t, wanted, overrides...)
			builders := map[string][]string{}
			for name, s := range project.Services {
				builders[s.Image] = slices.Clone(builders[s.Image])
				if s.Build != nil {
					builders[s.Image] = append(builders[s.Image], name)
				}
			}
			for image, by := range builders {
				ready := strings.HasPrefix(image, "pollux-local/") && strings.Contains(string(script), "="+image)
				ours := strings.HasPrefix(image, "pollux")
				if len(by) > 1 || ours && len(by) == 0 && !ready || ready && len(by) > 0 {
					t.Errorf("PROFILES=%s with %v: %s is built by %v, and by images.sh: %t", wanted, overrides, image, by, ready)
				}
			}
		}
	}
}

func TestComposeEnvRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	there := filepath.Join(t.TempDir(), ".env")
	if out, err := environment(t, there); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(there)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	before, err := os.ReadFile(there)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(t.TempDir(), "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, variable, says string }{
		{there, "PROFILES=", "left as it is"},
		{link, "PROFILES=", "left as it is"},
		{filepath.Join(t.TempDir(), ".env"), "PROFILES=mysql,pgsql", "one database"},
		{filepath.Join(t.TempDir(), ".env"), "PROFILES=redis,sentinel", "one Redis"},
		{filepath.Join(t.TempDir(), ".env"), "PROFILES=oracle", "not oracle"},
		{filepath.Join(t.TempDir(), ".env"), "PROJECT=Bad Name", "PROJECT is made of"},
		{filepath.Join(t.TempDir(), ".env"), "PROJECT=-x", "PROJECT is made of"},
	} {
		out, err := environment(t, c.file, c.variable)
		if err == nil || !strings.Contains(out, c.says) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %v: %q", c.variable, err, out)
		}
		if _, err := os.Stat(c.file); err == nil && c.file != there {
			t.Errorf("%s left a file", c.variable)
		}
	}
	if after, err := os.ReadFile(there); err != nil || string(after) != string(before) {
		t.Errorf("the file changed (%v)", err)
	}
}

// A .env that is malformed is refused in one line that names the place in it.
func TestMalformedEnvFileIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), ".env")
	if out, err := environment(t, file); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf("line %d", strings.Count(string(good), "\n")+1)
	if err := os.WriteFile(file, append(good, "THIS IS NOT A SETTING\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithEnvFiles(file), cli.WithDotEnv)
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), where) {
		t.Errorf("Compose says %v, want one line with %q", err, where)
	}
}
