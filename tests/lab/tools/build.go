package tools

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
)

// providerPackage is the lab's double of the Kubernetes provider, in the tests module.
const providerPackage = "./lab/kubernetesprovider/cmd/pulumi-resource-kubernetes"

// cloudPackage stands for the plugins and programs of the lab's clouds, in the tests module.
const cloudPackage = "./lab/cloud/cmd/lab-cloud"

// Build builds every program that is missing from the cache below os.UserCacheDir and returns where
// all of them are. Two runs at once build one after the other. Progress goes to log, one line for
// each program that is built and one line when nothing is to be done.
//
// A pulumi on PATH is used when it is exactly PulumiVersion and has its Go language host beside it.
// The Kubernetes provider is the program that LAB_KUBERNETES_PROVIDER names, else the published
// plugin v4.30 where it is installed, else the lab's double.
func Build(ctx context.Context, log io.Writer) (Tools, error) {
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
	return b.build(ctx)
}

// CacheDir is the folder that built programs are kept in; it is made when missing.
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

// testsModule is the module that this package belongs to.
const testsModule = "vllm-autoscaling/tests"

// ModuleRoot returns the folder of the tests module. The working folder must be in the source tree:
// the programs are built with -trimpath, so they do not know where their source is.
func ModuleRoot() (string, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := cwd; ; dir = filepath.Dir(dir) {
		for _, candidate := range []string{dir, filepath.Join(dir, "tests")} {
			if moduleName(filepath.Join(candidate, "go.mod")) == testsModule {
				return candidate, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no source of module %s in %s or above it: run from the repository", testsModule, cwd)
		}
	}
}

func moduleName(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return modfile.ModulePath(b)
}

type builder struct {
	cache  string // where built programs go
	module string // folder of the tests module
	log    io.Writer
	env    []string
}

// job is a program with the file it is built to.
type job struct {
	Tool
	version string
	target  string
}

func (b *builder) build(ctx context.Context) (Tools, error) {
	result := Tools{paths: map[string]string{}}
	goVersion, err := b.run(ctx, b.module, "go", "env", "GOVERSION", "GOOS", "GOARCH")
	if err != nil {
		return Tools{}, fmt.Errorf("tools: Go is needed to build the lab's programs: %w", err)
	}
	installed := b.installedPulumi(ctx)
	var missing []job
	for _, tool := range Catalogue() {
		if path, ok := installed[tool.Name]; ok {
			result.paths[tool.Name] = path
			continue
		}
		j, err := b.job(tool, goVersion)
		if err != nil {
			return Tools{}, err
		}
		result.paths[tool.Name] = j.target
		if _, err := os.Stat(j.target); err != nil {
			missing = append(missing, j)
		}
	}
	if len(missing) == 0 {
		fmt.Fprintf(b.log, "tools: all %d programs are built (%s)\n", len(result.paths), b.cache)
	} else if found := len(result.paths) - len(missing); found > 0 {
		fmt.Fprintf(b.log, "tools: %d programs are built, %d to build\n", found, len(missing))
	}
	for i, j := range missing {
		label := fmt.Sprintf("tools: [%d/%d] %s %s", i+1, len(missing), j.Name, j.version)
		if err := b.compile(ctx, label, j); err != nil {
			return Tools{}, err
		}
	}
	if len(installed) == 0 {
		if err := putBeside(&result, Pulumi, PulumiLanguageGo); err != nil {
			return Tools{}, err
		}
	}
	provider, isReal, err := b.provider(ctx)
	if err != nil {
		return Tools{}, err
	}
	result.paths[KubernetesProvider] = provider
	if result.paths[CloudDoubles], err = b.own(ctx, CloudDoubles, "the clouds' doubles", cloudPackage); err != nil {
		return Tools{}, err
	}
	result.RealKubernetesProvider = isReal
	return result, nil
}

// job works out the program's file: its folder's name changes with everything that goes into it.
func (b *builder) job(tool Tool, goVersion string) (job, error) {
	folder := filepath.Join(b.module, "lab", "tools", tool.Folder)
	hash := sha256.New()
	var version string
	files := []string{"go.mod", "go.sum"}
	if tool.Package == "." {
		sources, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			return job{}, fmt.Errorf("tools: %s: %w", tool.Name, err)
		}
		for _, source := range sources {
			files = append(files, filepath.Base(source))
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
	fmt.Fprintf(hash, "%s\n%s\n%s\n%s", tool.Package, tool.Tags, strings.Join(tool.Set, " "), goVersion)
	sum := hex.EncodeToString(hash.Sum(nil))[:12]
	return job{Tool: tool, version: version, target: filepath.Join(b.cache, tool.Name+"-"+version+"-"+sum, tool.Name)}, nil
}

// compile builds the program beside its place and moves it there, so that a file in place is whole.
func (b *builder) compile(ctx context.Context, label string, j job) error {
	done := b.progress(label)
	dir, err := os.MkdirTemp(b.cache, "building-")
	if err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	built := filepath.Join(dir, j.Name)
	linker := "-s -w"
	for _, variable := range j.Set {
		linker += " -X " + variable
	}
	args := []string{"build", "-mod=readonly", "-ldflags", linker, "-o", built}
	if j.Tags != "" {
		args = append(args, "-tags", j.Tags)
	}
	_, err = b.run(ctx, filepath.Join(b.module, "lab", "tools", j.Folder), "go", append(args, j.Package)...)
	done(err)
	if err != nil {
		return fmt.Errorf("tools: build %s %s: %w", j.Name, j.version, err)
	}
	if err := os.MkdirAll(filepath.Dir(j.target), 0o755); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	if err := os.Rename(built, j.target); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	return nil
}

// LanguageHostFlag is the environment variable that holds one flag for the language host, such as
// -buildTarget=PATH or -binary=PATH.
const LanguageHostFlag = "LAB_LANGUAGE_HOST_FLAG"

// putBeside puts a script that runs the language host into the folder of the CLI, where that looks for
// it. The CLI hands a project's runtime options over in a request that a language host of this age does
// not read; it knows them as flags, which only who starts it can give.
func putBeside(t *Tools, cli, host string) error {
	script := filepath.Join(filepath.Dir(t.paths[cli]), host)
	content := fmt.Sprintf("#!/bin/sh\nexec '%s' ${%s:+\"$%s\"} \"$@\"\n", t.paths[host], LanguageHostFlag, LanguageHostFlag)
	if existing, err := os.ReadFile(script); err == nil && string(existing) == content {
		t.paths[host] = script
		return nil
	}
	// By a rename, because another lab may be using the one that is there.
	fresh := script + ".new"
	if err := os.WriteFile(fresh, []byte(content), 0o755); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	if err := os.Rename(fresh, script); err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	t.paths[host] = script
	return nil
}

// provider returns the Kubernetes provider's plugin and whether it is a real one.
func (b *builder) provider(ctx context.Context) (path string, isReal bool, err error) {
	if path := os.Getenv("LAB_KUBERNETES_PROVIDER"); path != "" {
		if err := executable(path); err != nil {
			return "", false, fmt.Errorf("tools: LAB_KUBERNETES_PROVIDER: %w", err)
		}
		path, err := filepath.Abs(path)
		return path, true, err
	}
	if path := installedProvider(); path != "" {
		return path, true, nil
	}
	path, err = b.own(ctx, KubernetesProvider, "Kubernetes provider double", providerPackage)
	return path, false, err
}

// own builds a program of this source tree, not of another checkout; a stable place lets go build see that nothing
// changed.
func (b *builder) own(ctx context.Context, name, label, pkg string) (string, error) {
	tree := sha256.Sum256([]byte(b.module))
	target := filepath.Join(b.cache, name+"-double-"+hex.EncodeToString(tree[:6]), name)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", fmt.Errorf("tools: %w", err)
	}
	done := func(error) {}
	if _, err := os.Stat(target); err != nil {
		done = b.progress("tools: " + label)
	}
	_, err := b.run(ctx, b.module, "go", "build", "-mod=readonly", "-o", target, pkg)
	done(err)
	if err != nil {
		return "", fmt.Errorf("tools: build %s: %w", label, err)
	}
	return target, nil
}

// installedProvider finds the published plugin of the program's minor version among the user's plugins.
func installedProvider() string {
	home := os.Getenv("PULUMI_HOME")
	if home == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		home = filepath.Join(user, ".pulumi")
	}
	minor := KubernetesProviderVersion[:strings.LastIndex(KubernetesProviderVersion, ".")]
	found, err := filepath.Glob(filepath.Join(home, "plugins", "resource-kubernetes-"+minor+".*", KubernetesProvider))
	if err != nil {
		return ""
	}
	for i := len(found) - 1; i >= 0; i-- {
		if executable(found[i]) == nil {
			return found[i]
		}
	}
	return ""
}

// installedPulumi returns the CLI on PATH and the language host beside it where the version fits.
func (b *builder) installedPulumi(ctx context.Context) map[string]string {
	cli, err := exec.LookPath(Pulumi)
	if err != nil {
		return nil
	}
	// Beside the program itself, not beside a link to it: that is where it looks.
	if cli, err = filepath.EvalSymlinks(cli); err != nil {
		return nil
	}
	host := filepath.Join(filepath.Dir(cli), PulumiLanguageGo)
	if executable(host) != nil {
		return nil
	}
	version, err := b.run(ctx, b.module, cli, "version")
	if err != nil || strings.TrimSpace(version) != PulumiVersion {
		return nil
	}
	return map[string]string{Pulumi: cli, PulumiLanguageGo: host}
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return fmt.Errorf("%s is not a program", path)
	}
	return nil
}

// run runs a command of the build and returns its output; the error carries what it printed.
func (b *builder) run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = b.env
	cmd.WaitDelay = 5 * time.Second
	// Compilers end by themselves when the go command that started them is interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// buildEnvironment is the user's environment with what decides about the build fixed. With memory to
// spare (bytes) the compiler collects its garbage less often, which saves about a fifth of its time.
func buildEnvironment(user []string, memory uint64) []string {
	const plenty = 12 << 30
	var env []string
	for _, variable := range user {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "GOFLAGS", "CGO_ENABLED", "GOWORK", "GOOS", "GOARCH", "GOEXPERIMENT", "PULUMI_SKIP_UPDATE_CHECK":
		case "GOGC":
			if memory <= plenty {
				env = append(env, variable)
			}
		default:
			env = append(env, variable)
		}
	}
	if memory > plenty {
		env = append(env, "GOGC=400")
	}
	// The same flags as Pulumi's Go language host and the Makefile: one build cache for all.
	return append(env, "GOFLAGS=-trimpath -buildvcs=false", "CGO_ENABLED=0", "GOWORK=off", "PULUMI_SKIP_UPDATE_CHECK=true")
}

// availableMemory is what the machine can give without swapping, in bytes; 0 when unknown.
func availableMemory() uint64 {
	if runtime.GOOS != "linux" {
		return 0
	}
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kib uint64
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}
