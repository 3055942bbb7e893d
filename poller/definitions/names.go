package definitions

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// passedOver are files of a folder that look like definitions and are not read:
// somebody wrote them, and waits for what they say.
func passedOver(tree fs.FS, folder, where string) (problems []FileError) {
	entries, err := fs.ReadDir(tree, folder)
	if err != nil {
		return nil // the folders need not be there
	}
	for _, entry := range entries[:min(len(entries), maxFiles)] {
		name := entry.Name()
		if _, looks := yamlName(name); !looks || entry.IsDir() || folder != "." && strings.HasSuffix(name, extension) {
			continue
		}
		reason := notNamed(name)
		if folder == "." {
			reason = "it is not read: files of an OS are read from the folder os, files of tables from the folder mibs"
		}
		problems = append(problems, FileError{path.Join(where, folder, name), reason})
	}
	return problems
}

// extension is what the names of definitions end in.
const extension = ".yaml"

// yamlName is a file's name without what says that it is YAML, in whatever spelling; ok says that it had that.
func yamlName(name string) (stem string, ok bool) {
	end := strings.ToLower(path.Ext(name))
	return strings.TrimSuffix(name, path.Ext(name)), end == extension || end == ".yml"
}

// notNamed says why a file is not read that is not called NAME.yaml.
func notNamed(name string) string {
	stem, _ := yamlName(name)
	return fmt.Sprintf("it is not read: only files named NAME%s are; call it %s%s", extension, stem, extension)
}
