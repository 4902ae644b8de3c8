//! What is allowed in a table: its columns, and whether one value of a column is allowed, for requests and answers alike.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::ContractError;
use crate::server::data::Column;
use crate::server::validate;
use crate::service::pattern::Pattern;
use crate::service::{self, ColumnType, Extra};

/// The columns of a table.
#[derive(Debug)]
pub struct Schema {
    /// The columns in order.
    pub rules: Vec<Rule>,
    /// Whether other columns of a request are left out.
    pub ignore_extra: bool,
    index: HashMap<String, usize>,
}

/// What is allowed in one column.
#[derive(Debug)]
pub struct Rule {
    /// The column's name.
    pub name: String,
    /// The type of its values.
    pub kind: ColumnType,
    /// Whether a value may be missing.
    pub nullable: bool,
    /// The value where a row leaves the column out, as a column of one row.
    pub default: Option<Column>,
    /// Texts allowed, in order; empty where all are.
    pub levels: Vec<String>,
    codes: HashMap<String, i32>,
    numbers: Vec<f64>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    max_length: Option<u64>,
    pattern: Option<Pattern>,
}

impl Schema {
    pub(super) fn new(columns: &[service::Column], extra: Extra) -> Result<Self, ContractError> {
        let mut index = HashMap::new();
        for (position, column) in columns.iter().enumerate() {
            if index.insert(column.name.clone(), position).is_some() {
                return Err(ContractError::Twice(column.name.clone()));
            }
        }
        let rules = columns.iter().map(Rule::new).collect::<Result<_, _>>()?;
        Ok(Self { rules, ignore_extra: extra == Extra::Ignore, index })
    }

    /// Returns the position of the column `name`; `guess` is looked at first, since rows mostly keep the order.
    pub fn position(&self, name: &str, guess: usize) -> Option<usize> {
        match self.rules.get(guess) {
            Some(rule) if rule.name == name => Some(guess),
            _ => self.index.get(name).copied(),
        }
    }

    /// Returns the column names for a message, at most ten.
    pub fn names(&self) -> String {
        list(self.rules.iter().map(|rule| rule.name.as_str()))
    }
}

impl Rule {
    fn new(column: &service::Column) -> Result<Self, ContractError> {
        let wrong = || ContractError::Choices(column.name.clone());
        let mut rule = Self {
            name: column.name.clone(),
            kind: column.kind,
            nullable: column.nullable,
            default: None,
            levels: Vec::new(),
            codes: HashMap::new(),
            numbers: Vec::new(),
            minimum: column.minimum,
            maximum: column.maximum,
            max_length: column.max_length,
            pattern: column.pattern.as_deref().map(|pattern| rule_pattern(&column.name, pattern)).transpose()?,
        };
        for choice in &column.choices {
            match (column.kind, choice) {
                (ColumnType::String | ColumnType::Category, Value::String(text)) => rule.levels.push(text.clone()),
                (ColumnType::Integer | ColumnType::Number, Value::Number(number)) => {
                    rule.numbers.push(number.as_f64().ok_or_else(wrong)?);
                }
                _ => return Err(wrong()),
            }
        }
        if column.kind == ColumnType::Category && rule.levels.is_empty() {
            return Err(wrong());
        }
        rule.codes = rule.levels.iter().enumerate().map(|(code, level)| (level.clone(), code as i32)).collect();
        rule.default = column.default.as_ref().map(|value| rule.default_column(value)).transpose()?;
        Ok(rule)
    }

    /// Returns whether the column allows every value of its type.
    pub fn is_unlimited(&self) -> bool {
        let numbers = self.numbers.is_empty() && self.minimum.is_none() && self.maximum.is_none();
        numbers && self.levels.is_empty() && self.max_length.is_none() && self.pattern.is_none()
    }

    fn default_column(&self, value: &Value) -> Result<Column, ContractError> {
        let mut column = Column::new(self.kind, self.nullable);
        let fault = match validate::cell(self, &mut column, value) {
            Ok(fault) => fault,
            Err(_) => Err("cannot be read".to_owned()),
        };
        fault.map_err(|message| ContractError::Default { column: self.name.clone(), message })?;
        Ok(column)
    }

    /// Returns the code of a category's level.
    pub fn code(&self, level: &str) -> Option<i32> {
        self.codes.get(level).copied()
    }

    /// Says what is wrong with a text.
    pub fn check_text(&self, text: &str) -> Result<(), String> {
        if !self.levels.is_empty() && !self.codes.contains_key(text) {
            return Err(self.one_of());
        }
        match self.max_length {
            Some(longest) if text.len() as u64 > longest && text.chars().count() as u64 > longest => {
                Err(format!("must have at most {longest} characters"))
            }
            _ => match self.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
                Some(pattern) => Err(format!("must match `{pattern}`")),
                None => Ok(()),
            },
        }
    }

    /// Says what is wrong with a number.
    pub fn check_number(&self, number: f64) -> Result<(), String> {
        if let Some(minimum) = self.minimum.filter(|&minimum| number < minimum) {
            return Err(format!("must be at least {minimum}"));
        }
        if let Some(maximum) = self.maximum.filter(|&maximum| number > maximum) {
            return Err(format!("must be at most {maximum}"));
        }
        if !self.numbers.is_empty() && !self.numbers.contains(&number) {
            return Err(self.one_of());
        }
        Ok(())
    }

    /// Returns what a value that is not one of the choices must be.
    pub fn one_of(&self) -> String {
        let numbers: Vec<String> = self.numbers.iter().map(f64::to_string).collect();
        let choices = self.levels.iter().map(String::as_str).chain(numbers.iter().map(String::as_str));
        format!("must be one of {}", list(choices))
    }
}

fn rule_pattern(column: &str, pattern: &str) -> Result<Pattern, ContractError> {
    let wrong = |source| ContractError::Pattern { column: column.to_owned(), source: Box::new(source) };
    Pattern::new(pattern).map_err(wrong)
}

/// Lists up to ten names, each in back-ticks.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for (position, name) in names.enumerate() {
        if position == 10 {
            text.push_str(", …");
            break;
        }
        let comma = if position == 0 { "" } else { ", " };
        write!(text, "{comma}`{name}`").expect("writing to a String cannot fail");
    }
    text
}
