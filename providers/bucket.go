package providers

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Schemes of the URIs of buckets.
const (
	// SchemeGCS is that of Google Cloud Storage.
	SchemeGCS = "gs"
	// SchemeS3 is that of Amazon S3 and of what has its API.
	SchemeS3 = "s3"
	// SchemeAzure is that of Azure Blob Storage.
	SchemeAzure = "az"
)

// BucketForms describes the URIs that ParseBucket accepts.
const BucketForms = "gs://<bucket>/<folder>, s3://<bucket>/<folder> or az://<account>/<container>/<folder>"

var (
	bucketName     = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$`)
	storageAccount = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	folderPart     = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
)

// Bucket is a folder of an object store.
type Bucket struct {
	// Scheme is one of SchemeGCS, SchemeS3 and SchemeAzure; "" for no bucket.
	Scheme string
	// Account is the storage account on Azure, else "".
	Account string
	// Name is the name of the bucket, or of the container on Azure.
	Name string
	// Folder is the path of the folder, without a slash at either end.
	Folder string
}

// ParseBucket reads a URI of one of BucketForms.
func ParseBucket(uri string) (Bucket, error) {
	scheme, rest, _ := strings.Cut(strings.TrimSuffix(uri, "/"), "://")
	b := Bucket{Scheme: scheme}
	switch scheme {
	case SchemeGCS, SchemeS3:
		b.Name, b.Folder, _ = strings.Cut(rest, "/")
	case SchemeAzure:
		b.Account, rest, _ = strings.Cut(rest, "/")
		b.Name, b.Folder, _ = strings.Cut(rest, "/")
		if !storageAccount.MatchString(b.Account) {
			return Bucket{}, fmt.Errorf("the storage account %q is not 3 to 24 lower-case letters and digits", b.Account)
		}
	default:
		return Bucket{}, fmt.Errorf("it does not begin with gs://, s3:// or az://")
	}
	if !bucketName.MatchString(b.Name) {
		return Bucket{}, fmt.Errorf("%q is not the name of a bucket or container", b.Name)
	}
	if b.Folder == "" {
		return Bucket{}, fmt.Errorf("the folder is missing")
	}
	for part := range strings.SplitSeq(b.Folder, "/") {
		if !folderPart.MatchString(part) || part == "." || part == ".." {
			return Bucket{}, fmt.Errorf("the folder %q has a part other than letters, digits, '.', '_' and '-'", b.Folder)
		}
	}
	return b, nil
}

// URI returns the URI that ParseBucket reads; "" for no bucket.
func (b Bucket) URI() string {
	switch b.Scheme {
	case "":
		return ""
	case SchemeAzure:
		return fmt.Sprintf("%s://%s/%s/%s", b.Scheme, b.Account, b.Name, b.Folder)
	default:
		return fmt.Sprintf("%s://%s/%s", b.Scheme, b.Name, b.Folder)
	}
}

// BucketAccess is the right to a folder of a bucket that two ServiceAccounts of the cluster need.
type BucketAccess struct {
	// Server is the name of the server whose weights are in the folder.
	Server string
	// Bucket is the folder.
	Bucket Bucket
	// Reader may read what is in the folder; Writer may also add to it, replace and delete.
	Reader, Writer ServiceAccount
}

// BucketIdentity is what lets pods of the two ServiceAccounts of a BucketAccess act as identities of the cloud.
type BucketIdentity struct {
	// ReaderAnnotations and WriterAnnotations are those of the ServiceAccounts; empty where the cloud needs none.
	ReaderAnnotations, WriterAnnotations pulumi.StringMap
	// Access lists the grants; the pods have to wait for them.
	Access []pulumi.Resource
}
