"""Answers what apt would install, for one set of packages a line: `name=version` of each, or `-` where it installs none.

It makes the calls of `apt-get install` to apt's own library (python3-apt), which reads its indexes once for all sets.
"""

import sys

import apt_pkg


def install(cache, marks, names):
    """Returns the packages that apt installs for those of `names`."""
    marks.init()
    fixer = apt_pkg.ProblemResolver(marks)
    wanted = [cache[name] for name in names]
    for package in wanted:
        fixer.clear(package)
        fixer.protect(package)
        marks.mark_install(package, False, True)
    # apt-get keeps them in the order of its cache.
    for package in sorted(set(wanted), key=lambda package: package.id):
        marks.mark_install(package, True, True)
    try:
        fixer.resolve(True)
    except apt_pkg.Error:
        return None
    if marks.broken_count:
        return None
    chosen = (p for p in cache.packages if marks.marked_install(p) and not marks.is_garbage(p))
    return sorted(f"{p.name}={marks.get_candidate_ver(p).ver_str}" for p in chosen)


apt_pkg.init()
cache = apt_pkg.Cache(None)
marks = apt_pkg.DepCache(cache)
for line in sys.stdin:
    chosen = install(cache, marks, line.split())
    print("-" if chosen is None else " ".join(chosen), flush=True)
