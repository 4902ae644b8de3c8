# Features that tell a company's name from a person's. Used alike by training and by the service.

TOKENS <- as.character(1:6)
CASES <- c("lower", "mixed", "title", "upper")
PLACES <- c("first", "last", "middle", "none")
KINDS <- c("both", "first_name", "none", "surname", "unknown")
MARKS <- c(ampersand = "&", plus = "+", quote = "\"", quote = "\u201e", comma = ",", dot = ".", hyphen = "-")

# Lower case without accents, so that `Žukauskas` and `ZUKAUSKAS` are one name.
fold <- function(text) {
  decomposed <- stringi::stri_trans_nfkd(stringi::stri_trans_casefold(text))
  stringi::stri_replace_all_regex(decomposed, "\\p{Mn}", "")
}

# Reads the three auxiliary datasets; tables are environments, which are R's hash tables.
read_lookup <- function(first_names, surnames, legal_forms) {
  frequencies <- function(path) {
    table <- read_table(path)
    list2env(as.list(setNames(log1p(as.double(table$per_100000)), table$name)))
  }
  forms <- read_table(legal_forms)
  list(
    first_names = frequencies(first_names), surnames = frequencies(surnames),
    forms = setNames(forms$group, forms$form), groups = sort(c(unique(forms$group), "none"))
  )
}

read_table <- function(path) {
  read.csv(path, colClasses = "character", encoding = "UTF-8", na.strings = character())
}

# Returns a data frame with a row of features for each name. `data.frame` itself would take longer than all the rest.
features <- function(names, lookup) {
  tokens <- stringi::stri_extract_all_regex(names, "[^\\s,;\"\u201e\u201c\u201d\u00ab\u00bb()]+", omit_no_match = TRUE)
  folded <- relist_like(fold(unlist(tokens)), tokens)
  parts <- stringi::stri_split_fixed(vapply(folded, paste, "", collapse = "-"), "-", omit_empty = TRUE)
  first <- lookup_all(parts, lookup$first_names)
  last <- lookup_all(parts, lookup$surnames)
  kinds <- Map(kind, first, last)
  forms <- vapply(folded, legal_form, c(group = "", place = ""), lookup$forms)
  at <- function(pick) vapply(kinds, function(kinds) if (length(kinds)) pick(kinds) else "none", "")
  list2DF(list(
    legal_form = factor(forms["group", ], lookup$groups),
    legal_form_place = factor(forms["place", ], PLACES),
    tokens = factor(pmin(lengths(tokens), 6L), TOKENS),
    case = factor(vapply(tokens, case, ""), CASES),
    first_token = factor(at(function(kinds) kinds[1L]), KINDS),
    last_token = factor(at(function(kinds) kinds[length(kinds)]), KINDS),
    punctuation = factor(punctuation(names), c(sort(unique(names(MARKS))), "none")),
    first_name_frequency = vapply(first, max, 0, 0, na.rm = TRUE),
    surname_frequency = vapply(last, max, 0, 0, na.rm = TRUE),
    known_share = vapply(kinds, function(kinds) if (length(kinds)) mean(kinds != "unknown") else 0, 0),
    length = pmin(nchar(names), 60),
    digits = as.double(stringi::stri_detect_regex(names, "\\p{Nd}"))
  ))
}

relist_like <- function(values, lists) {
  unname(split(as.character(values), factor(rep(seq_along(lists), lengths(lists)), seq_along(lists))))
}

# Looks words up: the logarithm of how many bear the name, NA where nobody does.
lookup_all <- function(lists, table) {
  lapply(lists, function(words) unlist(mget(words, table, ifnotfound = NA_real_), use.names = FALSE))
}

kind <- function(first, last) {
  ifelse(is.na(first), ifelse(is.na(last), "unknown", "surname"), ifelse(is.na(last), "first_name", "both"))
}

# Returns the group of the first legal form in the name, and where it stands.
legal_form <- function(tokens, forms) {
  bare <- gsub("[./]", "", tokens)
  count <- length(bare)
  for (size in 3:1) {
    if (size > count) next
    phrases <- bare[seq_len(count - size + 1L)]
    for (more in seq_len(size - 1L)) phrases <- paste(phrases, bare[seq_len(count - size + 1L) + more])
    groups <- forms[phrases]
    start <- which(!is.na(groups))
    if (length(start) > 0L) {
      place <- if (start[1L] == 1L) "first" else if (start[1L] + size - 1L == count) "last" else "middle"
      return(c(group = groups[[start[1L]]], place = place))
    }
  }
  c(group = "none", place = "none")
}

case <- function(tokens) {
  if (all(tokens == toupper(tokens) & tokens != tolower(tokens))) return("upper")
  if (all(tokens == tolower(tokens) & tokens != toupper(tokens))) return("lower")
  words <- tokens[!grepl("[^[:alpha:]]", tokens)]
  heads <- substr(words, 1L, 1L)
  tails <- substring(words, 2L)
  titles <- heads == toupper(heads) & heads != tolower(heads) & tails == tolower(tails) & tails != toupper(tails)
  if (all(titles)) "title" else "mixed"
}

punctuation <- function(names) {
  labels <- rep("none", length(names))
  for (index in rev(seq_along(MARKS))) labels[grepl(MARKS[index], names, fixed = TRUE)] <- names(MARKS)[index]
  labels
}

# The probability that each row is of a company, by a model of either kind.
company_probability <- function(model, features) {
  if (!inherits(model, "ranger")) return(unname(predict(model, features, type = "response")))
  scores <- predict(model, features, num.threads = 1L)$predictions
  matrix(scores, ncol = 2L, dimnames = list(NULL, colnames(scores)))[, "B2B"]
}
