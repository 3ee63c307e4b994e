package cloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Location is a bucket of a cloud, or what is in it.
type Location struct {
	// Scheme is gs, s3 or az.
	Scheme string
	// Account is the storage account of Azure, else "".
	Account string
	// Bucket is the bucket, or the container.
	Bucket string
	// Path is the path in it; that of a folder ends with a slash.
	Path string
}

// Action is what is done with a location.
type Action string

// The actions.
const (
	List  Action = "list"
	Read  Action = "read"
	Write Action = "write"
)

// Access is an action of a pod.
type Access struct {
	Location                       Location
	Action                         Action
	Namespace, Pod, ServiceAccount string
}

// StoreError is what the Python client of an object store raises.
type StoreError struct {
	Exception string `json:"exception"`
	Message   string `json:"message"`
}

func (e *StoreError) Error() string { return e.Exception + ": " + e.Message }

// Headers of a request, which say whose it is. A real request has a token of the pod's identity instead.
const (
	NamespaceHeader = "Lab-Namespace"
	PodHeader       = "Lab-Pod"
	AccountHeader   = "Lab-Service-Account"
)

// Stores are the object stores of the clouds: folders below one folder, by scheme, account and bucket. They are served over loopback:
// GET, PUT and DELETE of /<scheme>/[<account>/]<bucket>/<object>, and GET of a folder with a slash at its end, which lists the objects in it
// as JSON. Rights are those that the resources of the clouds grant to the ServiceAccount of the request.
type Stores struct {
	cloud *Cloud
	dir   string
}

// MakeBucket creates a bucket, or an account and its container.
func (c *Cloud) MakeBucket(l Location) error { return os.MkdirAll(c.stores.folder(l), 0o755) }

// PutObject writes an object as the owner of the bucket.
func (c *Cloud) PutObject(l Location, content []byte) error {
	file := filepath.Join(c.stores.folder(l), filepath.FromSlash(l.Path))
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, content, 0o644)) //nolint:gosec // a path of the lab
}

// ObjectStoresURL returns the address of the object stores, without a slash at the end; "" without Options.ObjectStores.
func (c *Cloud) ObjectStoresURL() string {
	if c.stores == nil {
		return ""
	}
	return "http://" + c.address + "/objects"
}

// folder returns the folder of a bucket.
func (s *Stores) folder(l Location) string {
	return filepath.Join(s.dir, l.Scheme, l.Account, l.Bucket)
}

// has reports whether a bucket exists.
func (s *Stores) has(l Location) bool {
	found, err := os.Stat(s.folder(l))
	return err == nil && found.IsDir()
}

// locationOf returns the location that the path of a request names.
func locationOf(path string) (Location, error) {
	scheme, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	l := Location{Scheme: scheme}
	if scheme == "az" {
		l.Account, rest, _ = strings.Cut(rest, "/")
	}
	l.Bucket, l.Path, _ = strings.Cut(rest, "/")
	if !slices.Contains([]string{"gs", "s3", "az"}, scheme) || l.Bucket == "" || !filepath.IsLocal(filepath.FromSlash(l.Bucket+"/"+l.Path)) {
		return l, fmt.Errorf("%s is no object of a bucket", path)
	}
	return l, nil
}

// ServeHTTP serves a request of a pod.
func (s *Stores) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	location, err := locationOf(r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	access := Access{
		Location: location, Action: Read, Namespace: r.Header.Get(NamespaceHeader), Pod: r.Header.Get(PodHeader), ServiceAccount: r.Header.Get(AccountHeader),
	}
	switch {
	case r.Method == http.MethodPut || r.Method == http.MethodDelete:
		access.Action = Write
	case location.Path == "" || strings.HasSuffix(location.Path, "/"):
		access.Action = List
	}
	if refused := s.refusal(r, access); refused != nil {
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(refused)
		return
	}
	file := filepath.Join(s.folder(location), filepath.FromSlash(location.Path))
	switch {
	case r.Method == http.MethodPut:
		err = store(file, r.Body)
	case r.Method == http.MethodDelete:
		err = os.Remove(file)
	case access.Action == List:
		err = list(w, s.folder(location), location.Path)
	default:
		http.ServeFile(w, r, file)
	}
	if errors.Is(err, fs.ErrNotExist) {
		http.NotFound(w, r)
	} else if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// refusal returns why a request is refused; nil where it is not.
func (s *Stores) refusal(r *http.Request, access Access) *StoreError {
	if !s.has(access.Location) {
		return missingBucket(access.Location)
	}
	c := s.cloud
	switch access.Location.Scheme {
	case "gs":
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.gcpRefusal(access)
	case "s3":
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.awsRefusal(access)
	}
	client := c.options.ControlPlane.Client().CoreV1()
	account, err := client.ServiceAccounts(access.Namespace).Get(r.Context(), access.ServiceAccount, metav1.GetOptions{})
	if err != nil {
		account = &corev1.ServiceAccount{}
	}
	pod, err := client.Pods(access.Namespace).Get(r.Context(), access.Pod, metav1.GetOptions{})
	if err != nil {
		pod = &corev1.Pod{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.azureRefusal(access, account.Annotations["azure.workload.identity/client-id"], pod.Labels["azure.workload.identity/use"] == "true")
}

// missingBucket returns what a client raises for a bucket that does not exist.
func missingBucket(l Location) *StoreError {
	switch l.Scheme {
	case "gs":
		return &StoreError{"google.api_core.exceptions.NotFound", fmt.Sprintf(
			"404 GET https://storage.googleapis.com/storage/v1/b/%s?projection=noAcl&prettyPrint=false: The specified bucket does not exist.", l.Bucket)}
	case "s3":
		return &StoreError{"botocore.errorfactory.NoSuchBucket",
			"An error occurred (NoSuchBucket) when calling the ListObjectsV2 operation: The specified bucket does not exist"}
	default:
		return &StoreError{"azure.core.exceptions.ResourceNotFoundError", "The specified container does not exist. ErrorCode:ContainerNotFound"}
	}
}

// store writes an object, which is there as a whole or not at all.
func store(file string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(file), ".part-")
	if err != nil {
		return err
	}
	_, err = io.Copy(part, content)
	if err = errors.Join(err, part.Close()); err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	return os.Rename(part.Name(), file)
}

// StoredObject is an object in a list.
type StoredObject struct {
	// Path is its path in the bucket.
	Path string `json:"path"`
	Size int64  `json:"size"`
}

// list writes the objects whose paths begin with a prefix, sorted by path.
func list(w io.Writer, folder, prefix string) error {
	objects := []StoredObject{}
	err := filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".part-") {
			return err
		}
		relative, err := filepath.Rel(folder, file)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if path := filepath.ToSlash(relative); err == nil && strings.HasPrefix(path, prefix) {
			objects = append(objects, StoredObject{path, info.Size()})
		}
		return err
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(objects)
}
