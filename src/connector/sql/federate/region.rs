//! A part of a logical plan that one remote system can run, as one SELECT.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, FetchType, Filter, Join, Limit, LogicalPlan, Projection, SkipType, Sort, SubqueryAlias,
    TableScan,
};

use super::expr::Scope;
use super::select::{Meeting, Names, Select};
use super::term::{Term, Terms};
use crate::connector::sql::{RemoteSource, RemoteTable, filter};

/// What a region became.
#[derive(Debug)]
pub struct Rendered {
    /// The statement.
    pub select: Select,
    /// Whether its rows come in the order of a sort at the region's top.
    pub ordered: bool,
    /// The sources that it reads, which are of one system.
    pub sources: Vec<Arc<dyn RemoteSource>>,
}

/// The region as one SELECT, where all of it means the same there, and something of it is better done there than here: a
/// join, a group, a limit. What a scan pushes down by itself is no reason.
pub fn render(plan: &LogicalPlan) -> Option<Rendered> {
    let region = Region::of(plan)?;
    let mut select = region.select(plan)?;
    // Around a subquery its order is no promise.
    let ordered = !region.terms()?.groups_within() || select.is_ungrouped();
    if !ordered {
        select = region.opened(select, Select::is_ungrouped)?;
    }
    region.worth.get().then(|| Rendered { select, ordered, sources: region.sources.into_inner() })
}

/// Splits the conditions of a filter into those that the system of its input can judge, and the others.
pub fn split_filter(filter: &Filter) -> Option<(Vec<Expr>, Vec<Expr>)> {
    let region = Region::of(&filter.input)?;
    let input = region.select(&filter.input)?;
    let conditions = split_conjunction(&filter.predicate).into_iter().cloned();
    let (there, here): (Vec<Expr>, Vec<Expr>) = conditions.partition(|condition| {
        region.scope(filter.input.schema(), &input.columns, |scope| scope.condition(condition)).is_some()
    });
    (!there.is_empty()).then_some((there, here))
}

struct Region {
    /// One of the sources, whose dialect speaks for all.
    first: Arc<dyn RemoteSource>,
    sources: RefCell<Vec<Arc<dyn RemoteSource>>>,
    names: Names,
    worth: Cell<bool>,
}

impl Region {
    /// Of a plan that reads tables of one system alone.
    fn of(plan: &LogicalPlan) -> Option<Self> {
        let mut first: Option<Arc<dyn RemoteSource>> = None;
        let mut one = true;
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let provider = source_as_provider(&scan.source)?;
                let source = provider.downcast_ref::<RemoteTable>().map(|table| table.source().clone());
                let server = source.as_ref().and_then(|s| s.server());
                one &= server.is_some() && first.as_ref().is_none_or(|first| first.server() == server);
                first = first.take().or(source);
            }
            Ok(if one { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })
        .ok()?;
        let first = first.filter(|first| one && first.dialect().terms().is_some())?;
        Some(Self { first, sources: RefCell::default(), names: Names::default(), worth: Cell::new(false) })
    }

    fn terms(&self) -> Option<&dyn Terms> {
        self.first.dialect().terms()
    }

    fn scope<T>(&self, schema: &DFSchema, columns: &[Term], ask: impl FnOnce(&Scope<'_>) -> Option<T>) -> Option<T> {
        let subquery = |plan: &LogicalPlan| self.subquery(plan);
        ask(&Scope { terms: self.terms()?, schema, columns, subquery: &subquery })
    }

    fn select(&self, plan: &LogicalPlan) -> Option<Select> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => self.select(input),
            LogicalPlan::Projection(Projection { input, expr, .. }) => {
                let columns_only =
                    expr.iter().all(|item| matches!(item.clone().unalias_nested().data, Expr::Column(_)));
                let takes = |select: &Select| columns_only || select.is_ungrouped() || !self.groups_within();
                let mut select = self.opened(self.select(input)?, takes)?;
                let all = |scope: &Scope<'_>| expr.iter().map(|item| scope.term(item)).collect::<Option<Vec<_>>>();
                select.columns = self.scope(input.schema(), &select.columns, all)?;
                Some(select)
            }
            LogicalPlan::Filter(Filter { input, predicate, .. }) => {
                let mut select = self.opened(self.select(input)?, |select| self.sees_columns(select))?;
                let all = |scope: &Scope<'_>| {
                    split_conjunction(predicate).into_iter().map(|c| scope.condition(c)).collect::<Option<Vec<_>>>()
                };
                let conditions = self.scope(input.schema(), &select.columns, all)?;
                conditions.into_iter().for_each(|condition| select.filter(condition));
                Some(select)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let select = self.opened(self.select(input)?, Select::groupable)?;
                let (keys, select) = self.keyed(select.columns.clone(), select)?;
                self.grouped(keys, Vec::new(), select)
            }
            LogicalPlan::Sort(Sort { expr, input, fetch }) => {
                let mut select = self.opened(self.select(input)?, |select| self.sees_columns(select))?;
                let items = |scope: &Scope<'_>| expr.iter().map(|item| scope.order(item)).collect::<Option<Vec<_>>>();
                let order = self.scope(input.schema(), &select.columns, items)?;
                select.sort(order);
                if fetch.is_some() {
                    select.limit(*fetch, 0);
                    self.worth.set(true);
                }
                Some(select)
            }
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Join(join) => self.join(join),
            _ => None,
        }
    }

    /// The select, or one around it that takes another clause.
    fn opened(&self, select: Select, takes: impl Fn(&Select) -> bool) -> Option<Select> {
        if takes(&select) {
            return Some(select);
        }
        let dialect = self.first.dialect();
        Some(select.nested(self.terms()?, &self.names, &|name| dialect.quote(name)))
    }

    /// Whether a condition on its columns, or an order by them, can stand in it: in MySQL an expression is no key of a group
    /// to those, but within the very same one.
    fn sees_columns(&self, select: &Select) -> bool {
        select.open() && (select.is_ungrouped() || !self.groups_within())
    }

    fn groups_within(&self) -> bool {
        self.terms().is_some_and(|terms| terms.groups_within())
    }

    fn scan(&self, scan: &TableScan) -> Option<Select> {
        let provider = source_as_provider(&scan.source).ok()?;
        let table = provider.downcast_ref::<RemoteTable>()?;
        let source = table.source().clone();
        // The relation's own dialect knows what is special about its columns.
        let (dialect, name) = (source.dialect(), self.names.next());
        let own = dialect.terms()?;
        let all: Vec<_> = (0..table.fields().fields.len()).collect();
        let wanted = scan.projection.as_ref().unwrap_or(&all);
        let fields = wanted.iter().map(|at| table.fields().fields.get(*at));
        let columns = fields.map(|field| Some(own.column(&name, field?))).collect::<Option<Vec<_>>>()?;
        let mut inner = String::new();
        let mut conditions = Vec::new();
        for condition in &scan.filters {
            let scans = own.scans_first() && filter::to_sql(condition, table.fields(), dialect).is_some();
            let computed = || filter::computed(condition, table.fields(), &name, own);
            match if scans { None } else { computed() } {
                Some(condition) => conditions.push(condition),
                // What a column means to its scan alone is said within it.
                None => {
                    let pushed = filter::to_sql(condition, table.fields(), dialect)?;
                    inner += if inner.is_empty() { " WHERE " } else { " AND " };
                    inner += &pushed.sql;
                }
            }
        }
        let from = match table.is_relation() && inner.is_empty() {
            true => format!("{} AS {name}", table.from()),
            false => format!("(SELECT * FROM {}{inner}) AS {name}", table.from()),
        };
        let mut select = Select::new(from, columns);
        conditions.into_iter().for_each(|condition| select.filter(condition));
        select.limit(scan.fetch, 0);
        self.sources.borrow_mut().push(source);
        Some(select)
    }

    fn aggregate(&self, Aggregate { input, group_expr, aggr_expr, .. }: &Aggregate) -> Option<Select> {
        let select = self.opened(self.select(input)?, Select::groupable)?;
        let keys = self.scope(input.schema(), &select.columns, |scope| {
            group_expr.iter().map(|key| scope.term(key)).collect::<Option<Vec<_>>>()
        })?;
        let (keys, select) = self.keyed(keys, select)?;
        let aggregates = self.scope(input.schema(), &select.columns, |scope| {
            aggr_expr.iter().map(|item| scope.aggregate(item)).collect::<Option<Vec<_>>>()
        })?;
        self.grouped(keys, aggregates, select)
    }

    /// The same where all keys are columns, if only columns are found again in what is selected of a group.
    fn keyed(&self, keys: Vec<Term>, mut select: Select) -> Option<(Vec<Term>, Select)> {
        let terms = self.terms()?;
        keys.iter().all(|key| terms.groups(key)).then_some(())?;
        let stored = |key: &Term| key.plain && !key.collated;
        if !terms.groups_within() || keys.iter().all(stored) {
            return Some((keys, select));
        }
        let own = select.columns.len();
        select.columns.extend(keys);
        let mut select = self.opened(select, |_| false)?;
        let keys = select.columns.split_off(own);
        Some((keys, select))
    }

    fn grouped(&self, keys: Vec<Term>, aggregates: Vec<Term>, mut select: Select) -> Option<Select> {
        let terms = self.terms()?;
        // A constant in GROUP BY would be a column's number.
        keys.iter().all(|key| terms.groups(key)).then_some(())?;
        select.group(keys, aggregates);
        self.worth.set(true);
        Some(select)
    }

    fn limit(&self, limit: &Limit) -> Option<Select> {
        let SkipType::Literal(skip) = limit.get_skip_type().ok()? else { return None };
        let FetchType::Literal(fetch) = limit.get_fetch_type().ok()? else { return None };
        // The limit that DataFusion has brought down to what is below keeps as many rows as are skipped, too.
        let mut select = match limit.input.as_ref() {
            LogicalPlan::Sort(sort) => self.select(&LogicalPlan::Sort(Sort { fetch: None, ..sort.clone() }))?,
            input => self.opened(self.select(input)?, Select::open)?,
        };
        select.limit(fetch, skip);
        self.worth.set(true);
        Some(select)
    }

    fn join(&self, join: &Join) -> Option<Select> {
        let (left, right) = (self.select(&join.left)?, self.select(&join.right)?);
        let meeting = match join.join_type {
            JoinType::Inner => Some(Meeting::Inner),
            JoinType::Left => Some(Meeting::Left),
            JoinType::Right => Some(Meeting::Right),
            JoinType::Full => Some(Meeting::Full),
            _ => None,
        };
        let one_row = left.one_row() || right.one_row();
        // A product is made where its rows are wanted.
        if meeting.is_some() && join.on.is_empty() && join.filter.is_none() && !one_row {
            return None;
        }
        let full = meeting == Some(Meeting::Full);
        // PostgreSQL joins so by keys alone.
        if full && !self.terms()?.full_join() {
            return None;
        }
        if full && (join.on.is_empty() || join.filter.is_some() || join.null_equality == NullEquality::NullEqualsNull) {
            return None;
        }
        let outer_left = matches!(meeting, Some(Meeting::Right | Meeting::Full));
        let outer_right = matches!(meeting, Some(Meeting::Left | Meeting::Full));
        let left = self.opened(left, |side| side.joinable(outer_left, full))?;
        let right = self.opened(right, |side| side.joinable(outer_right, full))?;
        let keys = self.keys(join, &left, &right)?;
        // One row is looked up for each of the others, at most.
        let fast = (one_row && meeting.is_some()) || self.terms()?.joins(join.join_type, &keys);
        fast.then_some(())?;
        if self.terms()?.joins_in_order() && meeting.is_some_and(|meeting| left.meets_late(meeting, &right)) {
            return None;
        }
        let on = self.on(join, &keys, &left, &right)?;
        self.worth.set(true);
        if let Some(meeting) = meeting {
            return Some(left.join(meeting, right, &on));
        }
        let (mut kept, other) = match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => (left, right),
            _ => (right, left),
        };
        match join.join_type {
            JoinType::LeftSemi | JoinType::RightSemi => kept.filter(other.exists(&on)),
            JoinType::LeftAnti if join.null_aware => kept.filter(self.not_in(join, &kept, &other)?),
            JoinType::LeftAnti | JoinType::RightAnti => kept.filter(format!("(NOT {})", other.exists(&on))),
            JoinType::LeftMark if !join.null_aware => {
                let mark = datafusion::arrow::datatypes::DataType::Boolean;
                kept.columns.push(self.terms()?.typed(other.exists(&on), &mark)?);
            }
            _ => return None,
        }
        Some(kept)
    }

    /// The two sides of each equality by which rows meet.
    fn keys(&self, join: &Join, left: &Select, right: &Select) -> Option<Vec<(Term, Term)>> {
        let terms = self.terms()?;
        let pair = |(l, r): &(Expr, Expr)| {
            let l = self.scope(join.left.schema(), &left.columns, |scope| scope.term(l))?;
            let r = self.scope(join.right.schema(), &right.columns, |scope| scope.term(r))?;
            (terms.groups(&l) && terms.groups(&r)).then_some((l, r))
        };
        join.on.iter().map(pair).collect()
    }

    /// The conditions of a join.
    fn on(&self, join: &Join, keys: &[(Term, Term)], left: &Select, right: &Select) -> Option<Vec<String>> {
        let terms = self.terms()?;
        let same = |(l, r): &(Term, Term)| match join.null_equality {
            NullEquality::NullEqualsNothing => terms.comparison(l, crate::connector::sql::Comparison::Eq, r),
            NullEquality::NullEqualsNull => terms.same(l, r),
        };
        let mut on = keys.iter().map(same).collect::<Option<Vec<_>>>()?;
        if let Some(filter) = &join.filter {
            let schema = join.left.schema().join(join.right.schema()).ok()?;
            let columns: Vec<Term> = left.columns.iter().chain(&right.columns).cloned().collect();
            for condition in split_conjunction(filter) {
                on.push(self.scope(&schema, &columns, |scope| scope.condition(condition))?);
            }
        }
        Some(on)
    }

    /// `key NOT IN (…)`, of which a NULL on either side makes NULL.
    fn not_in(&self, join: &Join, left: &Select, right: &Select) -> Option<String> {
        let ([(l, r)], None) = (join.on.as_slice(), &join.filter) else { return None };
        let l = self.scope(join.left.schema(), &left.columns, |scope| scope.term(l))?;
        let r = self.scope(join.right.schema(), &right.columns, |scope| scope.term(r))?;
        Some(format!("({} NOT IN ({}))", l.sql, right.text(&[r.sql], self.terms()?)))
    }

    /// A query of one value.
    fn subquery(&self, plan: &LogicalPlan) -> Option<Term> {
        let select = self.select(plan)?;
        let [column] = select.columns.as_slice() else { return None };
        let terms = self.terms()?;
        let sql = format!("({})", select.text(std::slice::from_ref(&column.sql), terms));
        Some(Term { plain: false, ..terms.within(column, sql) })
    }
}
