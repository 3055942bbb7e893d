package definitions

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed os/*.yaml mibs/*.yaml
var embedded embed.FS

// Bounds of a user's directory.
const (
	maxFile  = 1 << 20
	maxFiles = 5000
)

// Set is all definitions that were loaded. It does not change and may be shared.
type Set struct {
	oses    []*OS // by name
	byName  map[string]*OS
	generic *OS
}

// FileError is a file that was left out, or why it is not whole.
type FileError struct {
	File   string
	Reason string // with the line where there is one; several lines when several things are wrong
}

// Error implements error: a line for each thing that is wrong, with the file in front.
func (p FileError) Error() string {
	return p.File + ": " + strings.ReplaceAll(p.Reason, "\n", "\n"+p.File+": ")
}

// sources are files before they stand together.
type sources struct {
	oses map[string]*OS
	mibs map[string]*MIB
	// replaced are the embedded ones that a file of the user stands for: they stay should that file turn out to be of no use.
	replaced map[string]*OS
}

func newSources() sources {
	return sources{oses: make(map[string]*OS), mibs: make(map[string]*MIB), replaced: make(map[string]*OS)}
}

// Load reads the embedded definitions and, when dir is not empty, those of a
// directory with the folders os and mibs: a file there replaces the embedded one
// of the same name. Files that are wrong are left out; a wrong one of the user
// leaves the embedded one in place. The error says that dir could not be read at all.
func Load(dir string) (*Set, []FileError, error) {
	all := newSources()
	problems, err := all.readTree(embedded, "")
	if err != nil {
		return nil, nil, fmt.Errorf("read the embedded definitions: %w", err)
	}
	if dir != "" {
		if _, err := os.Stat(dir); err != nil {
			return nil, nil, fmt.Errorf("read definitions: %w", err)
		}
		wrong, err := all.readTree(os.DirFS(dir), dir)
		if err != nil {
			return nil, nil, fmt.Errorf("read definitions in %s: %w", dir, err)
		}
		problems = append(problems, wrong...)
	}
	set, wrong := all.join()
	return set, append(problems, wrong...), nil
}

// readTree reads the files of the folders os and mibs; where is put before their names in problems.
func (s *sources) readTree(tree fs.FS, where string) ([]FileError, error) {
	var problems []FileError
	if where != "" {
		problems = passedOver(tree, ".", where)
	}
	for _, folder := range []string{"os", "mibs"} {
		files, err := fs.Glob(tree, folder+"/*.yaml")
		if err != nil {
			return nil, err
		}
		if len(files) > maxFiles {
			return nil, fmt.Errorf("%s has more than %d files", folder, maxFiles)
		}
		if where != "" {
			problems = append(problems, passedOver(tree, folder, where)...)
		}
		for _, name := range files {
			shown := path.Join(where, name)
			content, err := readFile(tree, name)
			if err == nil && where != "" { // of the embedded ones a test knows it, and this costs as much as reading them
				err = checkItems(content)
			}
			if err == nil {
				err = s.add(folder, name, shown, content)
			}
			if err != nil {
				problems = append(problems, FileError{shown, reason(err)})
			}
		}
	}
	return problems, nil
}

func readFile(tree fs.FS, name string) ([]byte, error) {
	f, err := tree.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("the file has more than %d bytes", maxFile)
	}
	return content, err
}

func (s *sources) add(folder, name, shown string, content []byte) error {
	stem := strings.TrimSuffix(path.Base(name), extension)
	if folder == "mibs" {
		mib, err := parseMIB(content)
		if err != nil {
			return err
		}
		if mib.MIB != stem {
			return fmt.Errorf("line %d: mib is %q, the file's name says %q", lineOf(content, "mib"), mib.MIB, stem)
		}
		mib.file = shown
		s.mibs[stem] = mib
		return nil
	}
	parsed, err := parseOS(content)
	if err != nil {
		return err
	}
	if parsed.OS != stem {
		return fmt.Errorf("line %d: os is %q, the file's name says %q", lineOf(content, "os"), parsed.OS, stem)
	}
	parsed.file = shown
	if former := s.oses[stem]; former != nil {
		s.replaced[stem] = former
	}
	s.oses[stem] = parsed
	return nil
}

// join gives each OS the tables of the MIB files that it has.
func (s *sources) join() (*Set, []FileError) {
	set := &Set{byName: make(map[string]*OS, len(s.oses))}
	var problems []FileError
	for _, name := range slices.Sorted(maps.Keys(s.oses)) {
		o := s.oses[name]
		err := s.include(o)
		if err != nil {
			problems = append(problems, FileError{o.file, reason(err)})
			if o = s.replaced[name]; o != nil {
				err = s.include(o)
			}
		}
		if o == nil || err != nil {
			continue
		}
		set.oses = append(set.oses, o)
		set.byName[name] = o
	}
	if set.generic = set.byName["generic"]; set.generic == nil {
		set.generic = &OS{OS: "generic", Text: "Generic device"}
		_ = s.include(set.generic) // includes nothing by name
	}
	return set, problems
}

func (s *sources) include(o *OS) error {
	var c checker
	names := make([]string, 0, len(o.Include))
	for _, name := range o.Include {
		if names = append(names, name.text); s.mibs[name.text] == nil {
			c.add(name.line, "include: there is no file mibs/%.64s.yaml that can be used", name.text)
		}
	}
	for _, module := range slices.Sorted(maps.Keys(o.Exclude)) {
		for _, name := range o.Exclude[module] {
			if s.mibs[name.text] == nil {
				c.add(name.line, "exclude: %s: there is no file mibs/%.64s.yaml that can be used", module, name.text)
			}
		}
	}
	if err := c.err(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.mibs)) {
		if s.mibs[name].Always && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	o.all = Tables{
		Processors: slices.Clone(o.Processors), Mempools: slices.Clone(o.Mempools),
		Storage: slices.Clone(o.Storage), Sensors: slices.Clone(o.Sensors),
	}
	for _, name := range names {
		mib := s.mibs[name]
		with := func(module string) bool {
			return !slices.ContainsFunc(o.Exclude[module], func(w Word) bool { return w.text == name })
		}
		if with("processors") {
			o.all.Processors = append(o.all.Processors, mib.Processors...)
		}
		if with("mempools") {
			o.all.Mempools = append(o.all.Mempools, mib.Mempools...)
		}
		if with("storage") {
			o.all.Storage = append(o.all.Storage, mib.Storage...)
		}
		if with("sensors") {
			o.all.Sensors = append(o.all.Sensors, mib.Sensors...)
		}
	}
	return nil
}

// Find is the OS of a name, nil when there is no definition of it.
func (s *Set) Find(name string) *OS { return s.byName[name] }

// OSes are all operating systems by name.
func (s *Set) OSes() []*OS { return s.oses }

// Generic is what a device has whose OS nobody knows: the tables that are tried everywhere.
func (s *Set) Generic() *OS { return s.generic }

// decode reads one YAML document strictly.
func decode(content []byte, into any) error {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("the file is empty")
		}
		return err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("the file has more than one document")
	}
	return nil
}

// reason is an error as a reason: a line each for what the decoder collected.
func reason(err error) string {
	var collected *yaml.TypeError
	if errors.As(err, &collected) {
		return strings.Join(collected.Errors, "\n")
	}
	return strings.TrimPrefix(err.Error(), "yaml: ")
}

// Check reads one file of an OS or of tables as Load does and says what is wrong
// with it, nil when nothing is. What it includes must be among the embedded files
// or beside it.
func Check(file string) *FileError {
	name := filepath.Base(file)
	content, err := readFile(os.DirFS(filepath.Dir(file)), name)
	if err == nil && !strings.HasSuffix(name, extension) {
		err = errors.New(notNamed(name))
	}
	if err == nil {
		err = check(file, content)
	}
	if err != nil {
		return &FileError{file, reason(err)}
	}
	return nil
}

func check(file string, content []byte) error {
	var keys map[string]yaml.Node
	if err := yaml.Unmarshal(content, &keys); err != nil {
		return err
	}
	if err := checkItems(content); err != nil {
		return err
	}
	folder := "os"
	if _, ok := keys["mib"]; ok {
		folder = "mibs"
	}
	all := newSources()
	if _, err := all.readTree(embedded, ""); err != nil {
		return err
	}
	around := filepath.Dir(filepath.Dir(file))
	if _, err := all.readTree(os.DirFS(around), around); err != nil {
		return err
	}
	if err := all.add(folder, file, file, content); err != nil {
		return err
	}
	if folder == "mibs" {
		return nil
	}
	return all.include(all.oses[strings.TrimSuffix(filepath.Base(file), extension)])
}

// File is where the definition comes from: a path below the user's directory, or one of the embedded tree.
func (o *OS) File() string { return o.file }
