package journal

import "testing"

// All files are looked at again and again, and none a second time before the others.
func TestFilesAreLookedAtInRounds(t *testing.T) {
	t.Parallel()
	f := newFiles()
	f.connect()
	file := f.hash("a")
	f.learn(file, 100)
	if f.inspected(file) || f.good(file) {
		t.Error("a file that was never looked at counts as looked at")
	}
	f.inspect(file)
	f.learn(file, 200)
	f.behind = true // another one was not looked at
	f.renew()
	if !f.inspected(file) || !f.good(file) {
		t.Error("a new round begins before the last one is through")
	}
	for range 2 * maxRound {
		f.renew()
		f.inspect(file)
		if f.renew(); f.inspected(file) || !f.good(file) {
			t.Fatal("in a new round it is not looked at")
		}
	}
	if second, asked := f.touched(file); second != 200 || !asked {
		t.Errorf("it was asked on this connection: %d, %v", second, asked)
	}
	f.connect()
	if _, asked := f.touched(file); asked {
		t.Error("it was never asked on this connection")
	}
	f.spoil(file)
	if second, asked := f.touched(file); second != unusable || !asked || f.good(file) {
		t.Errorf("a spoiled file: %d, %v", second, asked)
	}
	if f.renew(); f.good(file) {
		t.Error("a spoiled file is good")
	}
	if _, asked := f.touched(file); asked {
		t.Error("a spoiled file is not asked again")
	}
}
