package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// Build builds the named programs that are missing from the cache below os.UserCacheDir, All of them without
// names, and returns where they are. Two runs at once build one after the other. Progress goes to log: what is to be built and
// about how long that takes, then one line for each build; one line when there is nothing to build.
//
// A program of KUBEBUILDER_ASSETS or PATH is used where its version fits: that of a Kubernetes component and etcd in another
// patch release, too, and Pulumi only with its Go language host beside it. The Kubernetes provider is the program that
// LAB_KUBERNETES_PROVIDER names, else the published plugin v4.30 where it is installed, else the lab's double.
func Build(ctx context.Context, log io.Writer, names ...string) (Tools, error) {
	return BuildWith(ctx, log, nil, names...)
}

// BuildWith is Build, and then builds programs of the source tree whose time is part of the estimate.
func BuildWith(ctx context.Context, log io.Writer, programs []Program, names ...string) (Tools, error) {
	module, err := ModuleRoot()
	if err != nil {
		return Tools{}, fmt.Errorf("tools: %w", err)
	}
	cache, err := CacheDir()
	if err != nil {
		return Tools{}, err
	}
	unlock, err := lock(ctx, filepath.Join(cache, "lock"), log)
	if err != nil {
		return Tools{}, err
	}
	defer unlock()
	b := builder{cache: cache, module: module, log: log, env: buildEnvironment(os.Environ(), availableMemory())}
	return b.build(ctx, programs, names)
}

// CacheDir returns the folder that built programs are kept in; it is made when missing.
func CacheDir() (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("tools: no folder for built programs, set HOME or XDG_CACHE_HOME: %w", err)
	}
	dir := filepath.Join(user, "vllm-autoscaling", "tools")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("tools: %w", err)
	}
	return dir, nil
}

type builder struct {
	cache    string // where built programs go
	module   string // folder of the tests module
	log      io.Writer
	env      []string
	progress progress
}

// job is a program with the file it is built to.
type job struct {
	Tool
	version string
	target  string
}

func (b *builder) build(ctx context.Context, programs []Program, names []string) (Tools, error) {
	goVersion, err := b.run(ctx, b.module, "go", "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return Tools{}, fmt.Errorf("tools: Go is needed to build the lab's programs: %w", err)
	}
	if len(names) == 0 {
		names = All()
	}
	result := Tools{paths: map[string]string{}}
	missing, err := b.find(ctx, &result, names, goVersion)
	if err != nil {
		return Tools{}, err
	}
	own := b.ownPrograms(names)
	b.announce(len(result.paths), missing, append(own, programs...))
	for _, batch := range batches(missing) {
		if err := b.compile(ctx, batch); err != nil {
			return Tools{}, err
		}
	}
	if err := b.finish(ctx, &result, names); err != nil {
		return Tools{}, err
	}
	for _, program := range programs {
		if err := b.buildProgram(ctx, program); err != nil {
			return Tools{}, err
		}
	}
	return result, nil
}

// find adds every named tool to result and returns those that have to be built.
func (b *builder) find(ctx context.Context, result *Tools, names []string, goVersion string) ([]job, error) {
	known := []string{KubernetesProvider, CloudDoubles}
	installed := map[string]string{}
	if slices.Contains(names, Pulumi) {
		installed = b.installedPulumi(ctx)
	}
	var missing []job
	for _, tool := range Catalogue() {
		known = append(known, tool.Name)
		if !slices.Contains(names, tool.Name) {
			continue
		}
		j, err := b.job(tool, goVersion)
		if err != nil {
			return nil, err
		}
		file := installed[tool.Name]
		if file == "" {
			file = b.installedTool(ctx, j)
		}
		if file != "" {
			fmt.Fprintf(b.log, "tools: %s %s is installed: %s\n", j.Name, j.version, file)
			result.paths[tool.Name] = file
			continue
		}
		result.paths[tool.Name] = j.target
		if _, err := os.Stat(j.target); err != nil {
			missing = append(missing, j)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("tools: no program %q", name)
		}
	}
	return missing, nil
}

// ownPrograms lists the named programs of the source tree.
func (b *builder) ownPrograms(names []string) []Program {
	var own []Program
	if slices.Contains(names, KubernetesProvider) && os.Getenv("LAB_KUBERNETES_PROVIDER") == "" && installedProvider() == "" {
		own = append(own, b.kubernetesProviderDouble())
	}
	if slices.Contains(names, CloudDoubles) {
		own = append(own, b.cloudDoubles())
	}
	return own
}

// announce prints how much there is to build.
func (b *builder) announce(tools int, missing []job, own []Program) {
	seconds, programs := 0, len(missing)
	for _, j := range missing {
		seconds += j.Seconds
	}
	for _, program := range own {
		if program.isNew() {
			programs++
			seconds += program.Seconds
		}
	}
	if programs == 0 {
		fmt.Fprintf(b.log, "tools: all %d programs are built (%s)\n", tools, b.cache)
		return
	}
	b.progress = expect(programs, seconds)
	fmt.Fprintf(b.log, "tools: %d programs to build, %s when nothing is compiled yet; later runs build nothing\n", programs, b.progress.remaining(0))
}

// finish completes the tools that are not in the catalogue.
func (b *builder) finish(ctx context.Context, result *Tools, names []string) error {
	cli, host := result.paths[Pulumi], result.paths[PulumiLanguageGo]
	if cli != "" && host != "" && strings.HasPrefix(cli, b.cache) {
		if err := putBeside(result, Pulumi, PulumiLanguageGo); err != nil {
			return err
		}
	}
	if slices.Contains(names, KubernetesProvider) {
		provider, isReal, err := b.provider(ctx)
		if err != nil {
			return err
		}
		result.paths[KubernetesProvider], result.RealKubernetesProvider = provider, isReal
	}
	if slices.Contains(names, CloudDoubles) {
		doubles := b.cloudDoubles()
		result.paths[CloudDoubles] = doubles.File
		return b.buildProgram(ctx, doubles)
	}
	return nil
}

// job returns the job of a tool. The name of the file's folder depends on all inputs of the build.
func (b *builder) job(tool Tool, goVersion string) (job, error) {
	folder := b.folder(tool)
	hash := sha256.New()
	var version string
	files := []string{"go.mod", "go.sum"}
	if tool.local() {
		sources, err := filepath.Glob(filepath.Join(folder, tool.Package, "*.go"))
		if err != nil {
			return job{}, fmt.Errorf("tools: %s: %w", tool.Name, err)
		}
		for _, source := range sources {
			files = append(files, filepath.Join(tool.Package, filepath.Base(source)))
		}
	}
	for _, name := range files {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return job{}, fmt.Errorf("tools: %s: %w", tool.Name, err)
		}
		hash.Write(content)
		if name != "go.mod" {
			continue
		}
		file, err := modfile.ParseLax(filepath.Join(folder, name), content, nil)
		if err != nil {
			return job{}, fmt.Errorf("tools: %s: %w", tool.Name, err)
		}
		for _, r := range file.Require {
			if r.Mod.Path == tool.Module {
				version = r.Mod.Version
			}
		}
	}
	if version == "" {
		return job{}, fmt.Errorf("tools: %s: %s does not require %s", tool.Name, filepath.Join(folder, "go.mod"), tool.Module)
	}
	fmt.Fprintf(hash, "%s\n%s\n%s\n%q\n%s", tool.Package, tool.Tags, strings.Join(tool.Set, " "), tool.Edits, goVersion)
	sum := hex.EncodeToString(hash.Sum(nil))[:12]
	return job{Tool: tool, version: version, target: filepath.Join(b.cache, tool.Name+"-"+version+"-"+sum, tool.Name)}, nil
}

// batches groups adjacent jobs of the same module, which one go command builds.
func batches(jobs []job) [][]job {
	var all [][]job
	for _, j := range jobs {
		if last := len(all) - 1; last >= 0 && all[last][0].Module == j.Module && all[last][0].Tags == j.Tags {
			all[last] = append(all[last], j)
			continue
		}
		all = append(all, []job{j})
	}
	return all
}

// describe returns the names of the programs of a batch and their version.
func describe(batch []job) string {
	var names []string
	for _, j := range batch {
		names = append(names, j.Name)
	}
	return strings.Join(names, ", ") + " " + batch[0].version
}

// compile builds the programs of a batch in a temporary folder and moves them to their place, so that a file there is complete.
func (b *builder) compile(ctx context.Context, batch []job) (err error) {
	seconds := 0
	for _, j := range batch {
		seconds += j.Seconds
	}
	done := b.progress.start(b.log, describe(batch), len(batch), seconds)
	defer func() { done(err) }()
	dir, err := os.MkdirTemp(b.cache, "building-")
	if err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	args, err := b.buildArguments(ctx, batch[0].Tool, dir)
	if err != nil {
		return fmt.Errorf("tools: build %s: %w", describe(batch), err)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	if len(batch) == 1 {
		args = append(args, "-o", filepath.Join(bin, batch[0].Name))
	} else {
		args = append(args, "-o", bin) // as the packages' last element
	}
	for _, j := range batch {
		args = append(args, j.Package)
	}
	if _, err = b.run(ctx, b.folder(batch[0].Tool), "go", args...); err != nil {
		return fmt.Errorf("tools: build %s: %w", describe(batch), err)
	}
	for _, j := range batch {
		file := j.Name
		if len(batch) > 1 {
			file = path.Base(j.Package)
		}
		if err := os.MkdirAll(filepath.Dir(j.target), 0o755); err != nil {
			return fmt.Errorf("tools: %w", err)
		}
		if err := os.Rename(filepath.Join(bin, file), j.target); err != nil {
			return fmt.Errorf("tools: %w", err)
		}
	}
	return nil
}

// buildArguments returns the arguments of the go command for a tool, without its output and package. An edited module goes to dir.
func (b *builder) buildArguments(ctx context.Context, tool Tool, dir string) ([]string, error) {
	linker := "-s -w"
	for _, variable := range tool.Set {
		linker += " -X " + variable
	}
	args := []string{"build", "-mod=readonly", "-ldflags", linker}
	if tool.Tags != "" {
		args = append(args, "-tags", tool.Tags)
	}
	if len(tool.Edits) == 0 {
		return args, nil
	}
	source, err := b.moduleFolder(ctx, tool)
	if err != nil {
		return nil, err
	}
	edited := filepath.Join(dir, "source")
	if err := editModule(tool.Edits, source, edited); err != nil {
		return nil, err
	}
	file, err := replaceModule(b.folder(tool), tool.Module, edited, dir)
	if err != nil {
		return nil, err
	}
	return append(args, "-modfile", file), nil
}
