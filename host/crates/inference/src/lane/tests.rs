//! A lane in front of scripted engines: no ONNX Runtime, no simulated clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use lector_core::batching::plan::{InvalidPlan, Plan, Planner, Question, Reply};
use lector_core::model::PortInfo;
use lector_core::port::BatchComposition;
use lector_core::{Dtype, Tensor, TensorData};

use super::queue::RETRY_AFTER_MIN;
use super::*;

/// Doubles `x` into `y`. Before each run it reports its input and waits for a word: `ok`, `fail` or `panic`.
struct Scripted {
    running: SyncSender<Vec<f32>>,
    word: Receiver<&'static str>,
}

impl Engine for Scripted {
    fn run(&mut self, inputs: &[(String, Tensor)], outputs: &[String]) -> Result<Vec<Tensor>, String> {
        let x = inputs[0].1.as_f32().unwrap().to_vec();
        let _ = self.running.send(x.clone());
        match self.word.recv() {
            Ok("fail") => return Err("the kernel failed".to_owned()),
            Ok("panic") => panic!("out of the blue"),
            _ => {}
        }
        let y = TensorData::F32(x.iter().map(|v| v * 2.0).collect());
        let y = Tensor::new(inputs[0].1.shape(), y).unwrap();
        Ok(outputs.iter().map(|_| y.clone()).collect())
    }
}

struct Stage {
    lane: Lane,
    running: Receiver<Vec<f32>>,
    word: SyncSender<&'static str>,
}

/// Starts a lane that merges nothing.
fn stage(queue_items_max: usize) -> Stage {
    stage_of(queue_items_max, 1)
}

fn stage_of(queue_items_max: usize, rows_max: u32) -> Stage {
    let ((running_in, running), (word, word_out)) = (sync_channel(16), sync_channel(16));
    let port = |name: &str| PortInfo { name: name.to_owned(), dtype: Dtype::F32, shape: vec![-1] };
    let info = ModelInfo {
        name: "scripted".into(),
        inputs: vec![port("x")],
        outputs: vec![port("y")],
        labels: [].into(),
        width_buckets: vec![],
        max_batch: rows_max,
    };
    let lane = Lane::start(LaneParts {
        info: Arc::new(info),
        limits: Limits { width: None, side: None, run_pixels_max: 1000 },
        variant: EngineVariant::REFERENCE,
        session_config: SessionConfig { sessions: 1, threads: 1 },
        queue_items_max,
        cores: Arc::new(Cores::new(1)),
        calibrate: false,
        engines: vec![Box::new(Scripted { running: running_in, word: word_out })],
    })
    .unwrap();
    Stage { lane, running, word }
}

fn item(x: f32, deadline: Instant) -> WorkItem {
    item_of("t", &[x], deadline)
}

/// Returns an item with a row for each number.
fn item_of(tenant: &str, x: &[f32], deadline: Instant) -> WorkItem {
    WorkItem {
        model: "scripted".into(),
        tenant: tenant.into(),
        inputs: vec![("x".to_owned(), Tensor::new(&[x.len()], TensorData::F32(x.to_vec())).unwrap())],
        outputs: vec!["y".to_owned()],
        deadline,
        scheduling: Scheduling::default(),
    }
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(600)
}

fn value(answer: Answer) -> f32 {
    answer.blocking_recv().unwrap().unwrap().outputs[0].as_f32().unwrap()[0]
}

fn code(answer: Answer) -> &'static str {
    answer.blocking_recv().unwrap().unwrap_err().code
}

#[test]
fn items_run_in_the_order_of_their_offers() {
    let stage = stage(8);
    let answers: Vec<Answer> = (1..=3).map(|x| stage.lane.offer(item(x as f32, later())).unwrap()).collect();
    for (answer, x) in answers.into_iter().zip([1.0, 2.0, 3.0]) {
        assert_eq!(stage.running.recv().unwrap(), [x]);
        stage.word.send("ok").unwrap();
        assert_eq!(value(answer), 2.0 * x);
    }
    let status = stage.lane.status();
    assert_eq!((status.runs, status.rows, status.failures, status.in_flight), (3, 3, 0, 0));
    assert_eq!((status.queue_wait.count, status.run.count), (3, 3));
}

#[test]
fn a_full_queue_rejects_at_once_and_names_a_retry_time() {
    let stage = stage(2);
    let running = stage.lane.offer(item(1.0, later())).unwrap();
    stage.running.recv().unwrap();
    let waiting: Vec<Answer> = (0..2).map(|_| stage.lane.offer(item(2.0, later())).unwrap()).collect();
    let fault = stage.lane.offer(item(3.0, later())).unwrap_err();
    assert_eq!((fault.code, fault.kind), ("engine_queue_full", Kind::Busy));
    assert!(fault.retry_after >= Some(RETRY_AFTER_MIN));
    assert_eq!(stage.lane.status().refused_full, 1);
    assert_eq!(stage.lane.status().queue_depth, 2);
    (0..3).for_each(|_| stage.word.send("ok").unwrap());
    assert_eq!(value(running), 2.0);
    waiting.into_iter().for_each(|answer| assert_eq!(value(answer), 4.0));
}

#[test]
fn an_item_whose_caller_has_gone_is_never_run() {
    let stage = stage(2);
    let running = stage.lane.offer(item(1.0, later())).unwrap();
    stage.running.recv().unwrap();
    drop(stage.lane.offer(item(2.0, later())).unwrap());
    let third = stage.lane.offer(item(3.0, later())).unwrap();
    // Full, but one of the two items is cancelled: there is room.
    let fourth = stage.lane.offer(item(4.0, later())).unwrap();
    (0..3).for_each(|_| stage.word.send("ok").unwrap());
    assert_eq!((value(running), value(third), value(fourth)), (2.0, 6.0, 8.0));
    assert_eq!(stage.running.try_iter().collect::<Vec<_>>(), [[3.0], [4.0]]);
    assert_eq!(stage.lane.status().skipped_cancelled, 1);
}

#[test]
fn an_item_past_its_deadline_is_answered_unrun() {
    let stage = stage(8);
    let running = stage.lane.offer(item(1.0, later())).unwrap();
    stage.running.recv().unwrap();
    let expired = stage.lane.offer(item(2.0, Instant::now())).unwrap();
    let third = stage.lane.offer(item(3.0, later())).unwrap();
    (0..2).for_each(|_| stage.word.send("ok").unwrap());
    assert_eq!((value(running), code(expired), value(third)), (2.0, "engine_deadline", 6.0));
    assert_eq!(stage.running.try_iter().collect::<Vec<_>>(), [[3.0]]);
    assert_eq!(stage.lane.status().skipped_expired, 1);
}

#[test]
fn a_failure_or_a_panic_affects_its_item_alone() {
    let stage = stage(8);
    let answers: Vec<Answer> = (1..=3).map(|x| stage.lane.offer(item(x as f32, later())).unwrap()).collect();
    ["fail", "panic", "ok"].into_iter().for_each(|word| stage.word.send(word).unwrap());
    let mut outcomes = answers.into_iter().map(|answer| answer.blocking_recv().unwrap());
    for cause in ["the kernel failed", "out of the blue"] {
        let fault = outcomes.next().unwrap().unwrap_err();
        assert_eq!((fault.code, fault.kind), ("engine_run_failed", Kind::Bug));
        assert!(fault.detail.unwrap().contains(cause));
    }
    assert!(outcomes.next().unwrap().is_ok());
    let status = stage.lane.status();
    assert_eq!((status.runs, status.failures, status.in_flight), (3, 2, 0));
}

#[test]
fn items_that_do_not_fit_never_reach_the_queue() {
    let stage = stage(8);
    let mut wrong = item(1.0, later());
    wrong.outputs = vec!["z".to_owned()];
    assert_eq!(stage.lane.offer(wrong).unwrap_err().code, "model_output_invalid");
    let mut wrong = item(1.0, later());
    wrong.inputs[0].1 = Tensor::new(&[1, 1], TensorData::F32(vec![0.0])).unwrap();
    assert_eq!(stage.lane.offer(wrong).unwrap_err().code, "model_input_invalid");
    let status = stage.lane.status();
    assert_eq!((status.refused_invalid, status.queue_depth, status.runs), (2, 0, 0));
}

#[test]
fn a_closing_lane_ends_the_run_and_answers_waiting_items() {
    let stage = stage(8);
    let running = stage.lane.offer(item(1.0, later())).unwrap();
    stage.running.recv().unwrap();
    let waiting = stage.lane.offer(item(2.0, later())).unwrap();
    stage.lane.close();
    assert_eq!(code(waiting), "engine_stopped");
    assert_eq!(stage.lane.offer(item(3.0, later())).unwrap_err().code, "engine_stopped");
    stage.word.send("ok").unwrap();
    assert_eq!(value(running), 2.0);
    stage.lane.join();
}

#[test]
fn engines_are_swapped_between_runs_and_nothing_is_lost() {
    /// Triples, and reports when it is dropped.
    struct Triple(SyncSender<()>);
    impl Engine for Triple {
        fn run(&mut self, inputs: &[(String, Tensor)], _: &[String]) -> Result<Vec<Tensor>, String> {
            let x = inputs[0].1.as_f32().unwrap();
            let y = TensorData::F32(x.iter().map(|v| v * 3.0).collect());
            Ok(vec![Tensor::new(inputs[0].1.shape(), y).unwrap()])
        }
    }
    impl Drop for Triple {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let cuda = "cuda:0/f32".parse().unwrap();
    let stage = stage(8);
    let (gone_in, gone) = sync_channel(2);
    let running = stage.lane.offer(item(1.0, later())).unwrap();
    stage.running.recv().unwrap();
    let waiting = stage.lane.offer(item(2.0, later())).unwrap();
    std::thread::scope(|scope| {
        let swap = scope.spawn(|| stage.lane.swap(cuda, vec![Box::new(Triple(gone_in.clone()))]));
        // The current run ends on the old engine; waiting items run on the new one.
        while stage.lane.slots[0].cores_per_run() != 0 {
            std::thread::yield_now();
        }
        stage.word.send("ok").unwrap();
        assert_eq!((value(running), value(waiting)), (2.0, 6.0));
        swap.join().unwrap();
    });
    assert_eq!(stage.lane.status().provider, "cuda");
    // An idle lane drops the old engine at once.
    stage.lane.swap(EngineVariant::REFERENCE, vec![Box::new(Triple(gone_in))]);
    gone.recv().unwrap();
    assert_eq!(value(stage.lane.offer(item(5.0, later())).unwrap()), 15.0);
    assert_eq!((stage.lane.status().provider, stage.lane.slots[0].cores_per_run()), ("cpu", 1));
}

/// Returns a busy lane whose learned costs are the same for a full run and for one row.
fn accelerated(queue_items_max: usize) -> (Stage, Answer) {
    let stage = stage_of(queue_items_max, 8);
    let bucket = queue::bucket(&item(0.0, later()).inputs, &["y".to_owned()]);
    for rows in [1, 2, 4, 8] {
        (0..20).for_each(|_| stage.lane.queue.learn(&bucket, rows, Duration::from_millis(5)));
    }
    let running = stage.lane.offer(item(0.5, later())).unwrap();
    stage.running.recv().unwrap();
    (stage, running)
}

fn outcome(answer: Answer) -> WorkDone {
    answer.blocking_recv().unwrap().unwrap()
}

fn values(done: &WorkDone) -> &[f32] {
    done.outputs[0].as_f32().unwrap()
}

#[test]
fn items_of_different_tenants_run_together_and_each_gets_its_own_rows() {
    let (stage, running) = accelerated(16);
    let offers = [("a", vec![1.0]), ("b", vec![2.0, 3.0]), ("a", vec![4.0]), ("c", vec![5.0, 6.0, 7.0])];
    let answers: Vec<Answer> =
        offers.iter().map(|(tenant, x)| stage.lane.offer(item_of(tenant, x, later())).unwrap()).collect();
    // Cancelled or expired before their run: they cost nothing.
    drop(stage.lane.offer(item_of("d", &[8.0], later())).unwrap());
    let late = stage.lane.offer(item_of("d", &[9.0], Instant::now())).unwrap();
    (0..2).for_each(|_| stage.word.send("ok").unwrap());
    assert_eq!(outcome(running).composition, BatchComposition { run: 1, rows: 1, items: 1, tenants: 1 });
    for (answer, (_, x)) in answers.into_iter().zip(&offers) {
        let done = outcome(answer);
        assert_eq!(values(&done), x.iter().map(|v| v * 2.0).collect::<Vec<_>>());
        assert_eq!(done.outputs[0].shape(), [x.len()]);
        assert_eq!(done.composition, BatchComposition { run: 2, rows: 7, items: 4, tenants: 3 });
    }
    assert_eq!(code(late), "engine_deadline");
    let together: Vec<f32> = stage.running.try_iter().flatten().collect();
    assert_eq!(together.len(), 7);
    let status = stage.lane.status();
    assert_eq!((status.runs, status.rows, status.items, status.shared_items), (2, 8, 5, 4));
    assert_eq!((status.skipped_cancelled, status.skipped_expired), (1, 1));
}

#[test]
fn isolated_items_run_alone() {
    let (stage, running) = accelerated(16);
    let isolated = |tenant: &str, x: f32| {
        let mut item = item_of(tenant, &[x], later());
        item.scheduling.hints.isolated = true;
        stage.lane.offer(item).unwrap()
    };
    let answers = [
        stage.lane.offer(item_of("a", &[1.0], later())).unwrap(),
        isolated("b", 2.0),
        isolated("b", 3.0),
        stage.lane.offer(item_of("c", &[4.0], later())).unwrap(),
    ];
    (0..3).for_each(|_| stage.word.send("ok").unwrap());
    outcome(running);
    let composition: Vec<(u32, u32)> = answers
        .into_iter()
        .map(outcome)
        .map(|done| (done.composition.items, done.composition.tenants))
        .collect();
    assert_eq!(composition, [(2, 2), (2, 1), (2, 1), (2, 2)]);
}

#[test]
fn a_merged_run_that_fails_is_done_again_one_by_one() {
    let (stage, running) = accelerated(16);
    let answers: Vec<Answer> =
        (1..=3).map(|x| stage.lane.offer(item_of("a", &[x as f32], later())).unwrap()).collect();
    // The first run, the three merged items, then each of the three.
    ["ok", "fail", "ok", "panic", "ok"].into_iter().for_each(|word| stage.word.send(word).unwrap());
    outcome(running);
    let outcomes: Vec<_> = answers.into_iter().map(|answer| answer.blocking_recv().unwrap()).collect();
    assert_eq!(values(outcomes[0].as_ref().unwrap()), [2.0]);
    assert_eq!(outcomes[1].as_ref().unwrap_err().code, "engine_run_failed");
    assert_eq!(values(outcomes[2].as_ref().unwrap()), [6.0]);
    let status = stage.lane.status();
    assert_eq!((status.merged_failures, status.failures, status.items), (1, 1, 4));
}

#[test]
fn a_tenant_that_floods_a_lane_is_rejected_and_other_tenants_are_not() {
    let stage = stage(3);
    let running = stage.lane.offer(item(0.0, later())).unwrap();
    stage.running.recv().unwrap();
    let flood: Vec<Answer> =
        (1..=3).map(|x| stage.lane.offer(item_of("flood", &[x as f32], later())).unwrap()).collect();
    let beside = stage.lane.offer(item_of("beside", &[9.0], later())).unwrap();
    assert_eq!(stage.lane.offer(item_of("flood", &[4.0], later())).unwrap_err().code, "engine_queue_full");
    (0..4).for_each(|_| stage.word.send("ok").unwrap());
    assert_eq!(value(running), 0.0);
    let mut flood = flood.into_iter();
    assert_eq!(value(flood.next().unwrap()), 2.0);
    assert_eq!(value(flood.next().unwrap()), 4.0);
    assert_eq!(code(flood.next().unwrap()), "engine_queue_full");
    assert_eq!(value(beside), 18.0);
    assert_eq!(stage.lane.status().refused_full, 2);
}

/// Runs the last two of its items together, or returns the scripted answer.
#[derive(Debug, Default)]
struct ScriptedPolicy {
    took: Duration,
    answer: Mutex<Option<Plan>>,
    asked: Mutex<Vec<Vec<u64>>>,
    invalid: Mutex<Vec<InvalidPlan>>,
}

impl Planner for ScriptedPolicy {
    fn plan(&self, question: &Question) -> Reply {
        let ids: Vec<u64> = question.items.iter().map(|item| item.id).collect();
        self.asked.lock().unwrap().push(ids.clone());
        let last = ids.iter().rev().take(2).copied().collect();
        let plan = self.answer.lock().unwrap().clone().unwrap_or(Plan::Run(last));
        Reply { plan: Some(plan), took: self.took }
    }

    fn invalid(&self, why: InvalidPlan) {
        self.invalid.lock().unwrap().push(why);
    }
}

fn planned(stage: &Stage, policy: &Arc<ScriptedPolicy>, x: f32) -> Answer {
    let mut item = item_of("p", &[x], later());
    item.scheduling.planner = Some(policy.clone());
    stage.lane.offer(item).unwrap()
}

#[test]
fn a_tenants_policy_selects_its_batches() {
    let (stage, running) = accelerated(16);
    let policy = Arc::new(ScriptedPolicy::default());
    let answers: Vec<Answer> = (1..=4).map(|x| planned(&stage, &policy, x as f32)).collect();
    (0..3).for_each(|_| stage.word.send("ok").unwrap());
    outcome(running);
    let runs: Vec<u64> = answers.into_iter().map(outcome).map(|done| done.composition.run).collect();
    assert_eq!(runs, [3, 3, 2, 2]);
    assert!(policy.invalid.lock().unwrap().is_empty());
    // The policy gets its own items alone, and is called again when some of them have gone.
    let asked: Vec<usize> = policy.asked.lock().unwrap().iter().map(Vec::len).collect();
    assert!(!asked.is_empty() && asked.iter().all(|items| [2, 4].contains(items)), "{asked:?}");
}

#[test]
fn an_invalid_answer_is_reported_and_the_declared_hints_apply() {
    let (stage, running) = accelerated(16);
    let policy = Arc::new(ScriptedPolicy::default());
    *policy.answer.lock().unwrap() = Some(Plan::Run(vec![4711]));
    let answers: Vec<Answer> = (1..=3).map(|x| planned(&stage, &policy, x as f32)).collect();
    (0..2).for_each(|_| stage.word.send("ok").unwrap());
    outcome(running);
    let items: Vec<u32> = answers.into_iter().map(outcome).map(|done| done.composition.items).collect();
    assert_eq!(items, [3, 3, 3]);
    assert!(policy.invalid.lock().unwrap().iter().all(|why| *why == InvalidPlan::Unknown));
    assert!(!policy.invalid.lock().unwrap().is_empty());
}

#[test]
fn a_wait_that_a_policy_asked_for_ends() {
    let (stage, running) = accelerated(16);
    let policy = Arc::new(ScriptedPolicy::default());
    *policy.answer.lock().unwrap() = Some(Plan::Wait(Duration::from_millis(5)));
    let offered = Instant::now();
    let answer = planned(&stage, &policy, 1.0);
    stage.word.send("ok").unwrap();
    outcome(running);
    while policy.asked.lock().unwrap().len() < 3 {
        std::thread::yield_now();
    }
    *policy.answer.lock().unwrap() = None;
    stage.word.send("ok").unwrap();
    assert!(outcome(answer).queue_wait >= Duration::from_millis(10));
    assert!(offered.elapsed() >= Duration::from_millis(10));
}

#[test]
fn a_policy_is_called_after_an_item_was_displaced() {
    let stage = stage(3);
    let policy = Arc::new(ScriptedPolicy::default());
    // Long enough that only the change triggers another call.
    *policy.answer.lock().unwrap() = Some(Plan::Wait(Duration::from_secs(60)));
    let mut answers: Vec<Answer> = (1..=3).map(|x| planned(&stage, &policy, x as f32)).collect();
    let asked_of = |count: usize| {
        while policy.asked.lock().unwrap().last().is_none_or(|ids| ids.len() != count) {
            std::thread::yield_now();
        }
    };
    asked_of(3);
    let beside = stage.lane.offer(item_of("beside", &[9.0], later())).unwrap();
    assert_eq!(code(answers.pop().unwrap()), "engine_queue_full");
    asked_of(2);
    stage.word.send("ok").unwrap();
    assert_eq!(value(beside), 18.0);
}

#[test]
fn the_time_of_a_policy_is_charged_to_its_tenant() {
    let stage = stage(8);
    let running = stage.lane.offer(item(0.0, later())).unwrap();
    stage.running.recv().unwrap();
    let policy = Arc::new(ScriptedPolicy { took: Duration::from_millis(50), ..ScriptedPolicy::default() });
    // Offered first, by a tenant that has run nothing either.
    let first = planned(&stage, &policy, 1.0);
    let beside = stage.lane.offer(item_of("beside", &[2.0], later())).unwrap();
    (0..3).for_each(|_| stage.word.send("ok").unwrap());
    assert_eq!((value(running), value(first), value(beside)), (0.0, 2.0, 4.0));
    assert_eq!(stage.running.try_iter().collect::<Vec<_>>(), [[2.0], [1.0]]);
}

/// Otherwise a tenant with many revisions in flight could delay each run of the others by as many answers.
#[test]
fn a_decision_waits_for_one_policy_of_each_tenant() {
    let (stage, running) = accelerated(16);
    let policies: Vec<Arc<ScriptedPolicy>> = (0..5).map(|_| Arc::default()).collect();
    let answers: Vec<Answer> = policies.iter().map(|policy| planned(&stage, policy, 1.0)).collect();
    stage.word.send("ok").unwrap();
    outcome(running);
    stage.running.recv().unwrap();
    let asked: usize = policies.iter().map(|policy| policy.asked.lock().unwrap().len()).sum();
    (0..5).for_each(|_| stage.word.send("ok").unwrap());
    answers.into_iter().for_each(|answer| _ = outcome(answer));
    assert_eq!(asked, 1);
}
