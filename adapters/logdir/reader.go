package logdir

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"chatcore/domain"
	"chatcore/ports"
)

// segmentEvents is the number of events of a full part.
const segmentEvents = 1024

// Dir is a directory that was written by a [Writer]. It is safe for concurrent use.
type Dir struct {
	path     string
	manifest *Manifest
	names    []string // of the chats' files without suffix, sorted
	commands map[string]bool
}

// Open opens a directory, and compares every file with its sum. It returns [ErrDamaged] for a file that differs, is missing or has no sum, and [ErrNewerFormat].
func Open(ctx context.Context, dir string) (*Dir, error) {
	d := &Dir{path: dir, commands: make(map[string]bool)}
	sums, err := d.readSums()
	if err != nil {
		return nil, err
	}
	found := 0
	err = filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return errors.Join(err, ctx.Err())
		}
		name, err := filepath.Rel(dir, file)
		if err != nil || name == sumsFile {
			return err
		}
		name = filepath.ToSlash(name)
		found++
		return d.check(name, sums[name])
	})
	if err != nil {
		return nil, err
	}
	if found != len(sums) {
		for name := range sums {
			if _, err := os.Stat(d.file(name)); err != nil {
				return nil, damaged(name, "%v", err)
			}
		}
	}
	slices.Sort(d.names)
	d.manifest, err = readManifest(dir)
	return d, err
}

func (d *Dir) file(name string) string { return filepath.Join(d.path, filepath.FromSlash(name)) }

func (d *Dir) readSums() (map[string]string, error) {
	data, err := os.ReadFile(d.file(sumsFile))
	if err != nil {
		return nil, err
	}
	sums := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		sum, name, found := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !found || len(sum) != 2*sha256.Size || !filepath.IsLocal(filepath.FromSlash(name)) {
			return nil, damaged(sumsFile, "the line %.100q", line)
		}
		sums[name] = sum
	}
	return sums, nil
}

// check compares a file with its sum.
func (d *Dir) check(name, want string) error {
	file, err := os.Open(d.file(name))
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was read only
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return err
	}
	if want == "" {
		return damaged(name, "%s does not have it", sumsFile)
	}
	if hex.EncodeToString(sum.Sum(nil)) != want {
		return damaged(name, "its sum does not match")
	}
	if chat, is := strings.CutSuffix(name, eventsSuffix); is && strings.HasPrefix(name, chatsFolder+"/") {
		d.names = append(d.names, chat)
	}
	if chat, is := strings.CutSuffix(name, commandsSuffix); is {
		d.commands[chat] = true
	}
	return nil
}

// Manifest returns the description of the log. The caller must not change it.
func (d *Dir) Manifest() *Manifest { return d.manifest }

// Names returns the names of the chats' files, for [Dir.Chat]. [File] returns that of a chat.
func (d *Dir) Names() []string { return d.names }

// Chat yields the parts of the chat whose file has a name.
func (d *Dir) Chat(name string) iter.Seq2[ports.ChatPart, error] {
	return func(yield func(ports.ChatPart, error) bool) {
		commands, err := d.readCommands(name)
		if err != nil {
			yield(ports.ChatPart{}, err)
			return
		}
		file, err := os.Open(d.file(name + eventsSuffix))
		if err != nil {
			yield(ports.ChatPart{}, err)
			return
		}
		defer file.Close() //nolint:errcheck // it was read only
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 2*domain.MaxEventBytes)
		for first := domain.Seq(1); ; first += segmentEvents {
			part := ports.ChatPart{First: first}
			for len(part.Events) < segmentEvents && lines.Scan() {
				part.Events = append(part.Events, slices.Clone(lines.Bytes()))
			}
			if err := lines.Err(); err != nil {
				yield(part, damaged(name+eventsSuffix, "%v", err))
				return
			}
			for len(commands) > 0 && commands[0].Last < first+segmentEvents {
				part.Commands, commands = append(part.Commands, commands[0]), commands[1:]
			}
			if len(part.Events) == 0 || !yield(part, nil) || len(part.Events) < segmentEvents {
				return
			}
		}
	}
}

func (d *Dir) readCommands(name string) (commands []ports.CopiedCommand, err error) {
	if !d.commands[name] {
		return nil, nil
	}
	data, err := os.ReadFile(d.file(name + commandsSuffix))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		c, ok := parseCommand(strings.TrimSuffix(line, "\n"))
		if !ok || len(commands) > 0 && c.Last <= commands[len(commands)-1].Last {
			return nil, damaged(name+commandsSuffix, "the line %.100q", line)
		}
		commands = append(commands, c)
	}
	return commands, nil
}
