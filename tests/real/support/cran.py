"""Makes a CRAN-like repository of Debian's source packages: their original archives are CRAN's.

    cran.py FOLDER NAME[/RELEASE][=patched]...

Names are those of R packages; where no Debian release is given, the oldest that has the source is taken. With `=patched`
Debian's own changes are applied, for archives that do not compile as they are: Debian took bundled libraries out of them. The
archives are fetched with apt, from the sources that this machine has, through indexes of their own: nothing of the machine's
apt is changed. What is in FOLDER already is kept. Packages that cannot be had are told of at the end.
"""

import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile

FIELDS = ["Package", "Version", "Depends", "Imports", "LinkingTo", "Suggests", "License", "NeedsCompilation"]
# An older package is likelier to fit an older R, so that release comes first.
RELEASES = ["bookworm", "trixie"]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def sources():
    """Returns lines for the sources of Debian's releases, at the mirror that this machine uses."""
    form = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"], check=True, capture_output=True, text=True
    ).stdout
    for line in sorted(set(listed.splitlines())):
        address, release, component = line.split("|")
        if component == "main" and release in RELEASES:
            return [f"deb-src [signed-by={KEYRING}] {address} {release} main\n" for release in RELEASES]
    sys.exit("apt's sources name no mirror of Debian's main archive: is the machine a Debian, and `apt-get update` done?")


def apt(state, folder, *arguments):
    """Runs apt-get with indexes of its own."""
    options = [f"Dir::State={state}", f"Dir::Cache={state}", f"Dir::Etc::SourceList={state}/sources.list"]
    options += ["Dir::Etc::SourceParts=-", "Dir::State::status=/dev/null", "APT::Sandbox::User=root"]
    command = ["apt-get", "-qq"] + [word for option in options for word in ("-o", option)]
    return subprocess.run(command + list(arguments), cwd=folder, capture_output=True, text=True)


def fields(text):
    """Reads a DESCRIPTION."""
    found, name = {}, None
    for line in text.splitlines():
        if line[:1] in " \t" and name:
            found[name] += " " + line.strip()
        elif ":" in line:
            name, value = line.split(":", 1)
            found[name] = value.strip()
    return found


def package(path):
    """Returns the fields of an original archive and its bytes as CRAN would have them; None where it is something else."""
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        described = [m for m in members if m.name.rsplit("/", 1)[-1] == "DESCRIPTION" and m.name.count("/") <= 1]
        if not described:
            return None
        described = min(described, key=lambda member: member.name.count("/"))
        found = fields(archive.extractfile(described).read().decode("utf-8", "replace"))
        top = described.name[: -len("DESCRIPTION")].rstrip("/")
        if path.endswith(".gz") and top == found["Package"]:
            with open(path, "rb") as file:
                return found, file.read()
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as out:
            for member in members:
                if member.name == top or not (top == "" or member.name.startswith(top + "/")):
                    continue
                member.name = found["Package"] + "/" + member.name[len(top) :].lstrip("/")
                out.addfile(member, archive.extractfile(member) if member.isfile() else None)
        return found, packed.getvalue()


def patched(folder):
    """Returns the fields of a source that apt has unpacked with Debian's changes, and its bytes as CRAN would have them."""
    tree = next(entry.path for entry in os.scandir(folder) if entry.is_dir())
    with open(f"{tree}/DESCRIPTION", encoding="utf-8", errors="replace") as file:
        found = fields(file.read())

    def own(member):
        # No folder of a CRAN archive has these names: they are Debian's, and those of the program that patches.
        if member.name.split("/")[1:2] in (["debian"], [".pc"]):
            return None
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as out:
        out.add(tree, found["Package"], filter=own)
    return found, packed.getvalue()


def original(folder):
    """Returns the fields and the bytes of the original archive that apt has fetched; None where it is something else."""
    archives = [f"{folder}/{entry}" for entry in os.listdir(folder) if ".orig.tar." in entry and not entry.endswith(".asc")]
    return next(filter(None, map(package, sorted(archives))), None)


def fetch(names, contrib):
    """Puts packages into the repository, and returns why some could not be had."""
    failures = []
    with tempfile.TemporaryDirectory() as state:
        os.makedirs(f"{state}/lists/partial")
        os.makedirs(f"{state}/archives/partial")
        with open(f"{state}/sources.list", "w") as file:
            file.writelines(sources())
        apt(state, state, "update")
        for name in names:
            name, _, changed = name.partition("=")
            name, _, wanted = name.partition("/")
            folder = f"{state}/{name}"
            os.mkdir(folder)
            options = [] if changed else ["--download-only", "--tar-only"]
            for release in [wanted] if wanted else RELEASES:
                done = apt(state, folder, "source", *options, f"r-cran-{name.lower()}/{release}")
                if done.returncode == 0:
                    break
            else:
                failures.append(f"{name}: {done.stderr.splitlines()[0]}")
                continue
            found = patched(folder) if changed else original(folder)
            if not found:
                failures.append(f"{name}: the source has no R package in it")
                continue
            described, content = found
            with open(f"{contrib}/{described['Package']}_{described['Version']}.tar.gz", "wb") as file:
                file.write(content)
    return failures


def index(contrib):
    """Writes the list of packages."""
    stanzas = []
    for entry in sorted(os.listdir(contrib)):
        if not entry.endswith(".tar.gz"):
            continue
        path = f"{contrib}/{entry}"
        described, content = package(path)
        lines = [f"{field}: {described[field]}\n" for field in FIELDS if field in described]
        stanzas.append("".join(lines) + f"MD5sum: {hashlib.md5(content).hexdigest()}\n")
    with gzip.open(f"{contrib}/PACKAGES.gz", "wt") as file:
        file.write("\n".join(stanzas))


def main():
    folder, names = sys.argv[1], sys.argv[2:]
    contrib = f"{folder}/src/contrib"
    os.makedirs(contrib, exist_ok=True)
    present = {entry.split("_")[0] for entry in os.listdir(contrib)}
    missing = [name for name in names if re.split("[/=]", name)[0] not in present]
    failures = fetch(missing, contrib) if missing else []
    index(contrib)
    if failures:
        sys.exit("\n".join(failures))


main()
