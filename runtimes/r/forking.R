# Forking: a process that has loaded the model becomes several workers, which share its memory.

# What every open descriptor leads to.
descriptors <- function() {
  names <- list.files("/proc/self/fd", full.names = TRUE)
  targets <- Sys.readlink(names)
  # The one that listed them is gone.
  paste(names, targets)[!is.na(targets) & nzchar(targets)]
}

inherited <- descriptors()
# Keeps what a forked worker writes its output to.
outputs <- new.env(parent = emptyenv())

forked <- function() inherits(parallel:::mcfork(estranged = TRUE), "masterProcess")

# Starts a worker on the pipes that `message` names. Returns in both processes. The process between the two ends at once,
# so that the server, which adopts orphans, becomes the worker's parent.
fork <- function(message) {
  template <- Sys.getpid()
  if (!forked()) return()
  failed <- function(error) {
    write_frame(json_text(list(type = "failed", message = enc2utf8(describe(error)))))
    parallel:::mcexit(1L)
  }
  ends <- tryCatch({
    left <- left_behind(template)
    ends <- open_ends(message)
    if (!forked()) {
      write_frame(json_text(list(type = "forked", left = as.list(left))))
      parallel:::mcexit(0L)
    }
    ends
  }, error = failed)
  become_worker(ends)
}

open_ends <- function(message) {
  # A file gets the lowest descriptor that is free.
  at <- function(descriptor, path) {
    parallel:::closeFD(descriptor)
    file(path, "wb", raw = TRUE)
  }
  list(
    stdout = at(1L, message$stdout), stderr = at(2L, message$stderr),
    requests = file(message$requests, "rb", raw = TRUE), replies = file(message$replies, "wb", raw = TRUE)
  )
}

become_worker <- function(ends) {
  close(requests)
  close(replies)
  parallel:::closeFD(3:4)
  requests <<- ends$requests
  replies <<- ends$replies
  # R closes files that nothing refers to.
  outputs$ends <- ends
  # When R ends it removes its folder for temporary files, which all workers share.
  reg.finalizer(outputs, function(outputs) parallel:::mcexit(1L), onexit = TRUE)
  # Random numbers of its own, and the compiler that `mcfork` turned off.
  if (exists(".Random.seed", globalenv(), inherits = FALSE)) rm(".Random.seed", envir = globalenv())
  compiler::enableJIT(3L)
  write_frame(sprintf('{"type":"ready","pid":%d}', Sys.getpid()))
}

# What the template has that its forks lack or share unasked: threads, sockets and files of the model.
left_behind <- function(template) {
  threads <- length(list.files(sprintf("/proc/%d/task", template))) - 1L
  opened <- sub("^[^ ]* ", "", setdiff(descriptors(), inherited))
  c(if (threads > 0L) sprintf("%d threads", threads), opened[!startsWith(opened, "/dev/")])
}
