//! A lane in front of engines made up for the purpose: no ONNX Runtime, no clock games.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use lector_core::model::PortInfo;
use lector_core::{Dtype, Tensor, TensorData};

use super::*;

/// Doubles `x` into `y`. Before it does, it says that it runs and waits for a word: `ok`, `fail` or `panic`.
struct Scripted {
    running: SyncSender<f32>,
    word: Receiver<&'static str>,
}

impl Engine for Scripted {
    fn run(&mut self, inputs: &[(String, Tensor)], outputs: &[String]) -> Result<Vec<Tensor>, String> {
        let x = inputs[0].1.as_f32().unwrap().to_vec();
        let _ = self.running.send(x[0]);
        match self.word.recv() {
            Ok("fail") => return Err("the kernel said no".to_owned()),
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
    running: Receiver<f32>,
    word: SyncSender<&'static str>,
}

fn stage(queue_items_max: usize) -> Stage {
    let ((running_in, running), (word, word_out)) = (sync_channel(16), sync_channel(16));
    let port = |name: &str| PortInfo { name: name.to_owned(), dtype: Dtype::F32, shape: vec![-1] };
    let info = ModelInfo {
        name: "scripted".into(),
        inputs: vec![port("x")],
        outputs: vec![port("y")],
        labels: [].into(),
        width_buckets: vec![],
        max_batch: 4,
    };
    let lane = Lane::start(LaneParts {
        info: Arc::new(info),
        limits: Limits { width: None, side: None, run_pixels_max: 1 },
        provider: Provider::Cpu,
        seats: Seats { sessions: 1, threads: 1 },
        queue_items_max,
        cores: Arc::new(Cores::new(1)),
        engines: vec![Box::new(Scripted { running: running_in, word: word_out })],
    })
    .unwrap();
    Stage { lane, running, word }
}

fn item(x: f32, deadline: Instant) -> WorkItem {
    WorkItem {
        model: "scripted".into(),
        tenant: "t".into(),
        inputs: vec![("x".to_owned(), Tensor::new(&[1], TensorData::F32(vec![x])).unwrap())],
        outputs: vec!["y".to_owned()],
        deadline,
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
        assert_eq!(stage.running.recv().unwrap(), x);
        stage.word.send("ok").unwrap();
        assert_eq!(value(answer), 2.0 * x);
    }
    let status = stage.lane.status();
    assert_eq!((status.runs, status.rows, status.failures, status.in_flight), (3, 3, 0, 0));
    assert_eq!((status.queue_wait.count, status.run.count), (3, 3));
}

#[test]
fn a_full_queue_refuses_at_once_and_says_when_to_come_again() {
    let stage = stage(2);
    let running = stage.lane.offer(item(1.0, later())).unwrap();
    stage.running.recv().unwrap();
    let waiting: Vec<Answer> = (0..2).map(|_| stage.lane.offer(item(2.0, later())).unwrap()).collect();
    let fault = stage.lane.offer(item(3.0, later())).unwrap_err();
    assert_eq!((fault.code, fault.kind), ("engine_queue_full", Kind::Busy));
    assert_eq!(fault.retry_after, Some(2 * PACE_UNKNOWN));
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
    // Full, but one of the two is dead: there is room.
    let fourth = stage.lane.offer(item(4.0, later())).unwrap();
    (0..3).for_each(|_| stage.word.send("ok").unwrap());
    assert_eq!((value(running), value(third), value(fourth)), (2.0, 6.0, 8.0));
    assert_eq!(stage.running.try_iter().collect::<Vec<_>>(), [3.0, 4.0]);
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
    assert_eq!(stage.running.try_iter().collect::<Vec<_>>(), [3.0]);
    assert_eq!(stage.lane.status().skipped_expired, 1);
}

#[test]
fn a_failure_or_a_panic_costs_its_item_alone() {
    let stage = stage(8);
    let answers: Vec<Answer> = (1..=3).map(|x| stage.lane.offer(item(x as f32, later())).unwrap()).collect();
    ["fail", "panic", "ok"].into_iter().for_each(|word| stage.word.send(word).unwrap());
    let mut outcomes = answers.into_iter().map(|answer| answer.blocking_recv().unwrap());
    for cause in ["the kernel said no", "out of the blue"] {
        let fault = outcomes.next().unwrap().unwrap_err();
        assert_eq!((fault.code, fault.kind), ("engine_run_failed", Kind::Bug));
        assert!(fault.detail.unwrap().contains(cause));
    }
    assert!(outcomes.next().unwrap().is_ok());
    let status = stage.lane.status();
    assert_eq!((status.runs, status.failures, status.in_flight), (3, 2, 0));
}

#[test]
fn what_does_not_fit_never_reaches_the_queue() {
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
fn a_closing_lane_ends_the_run_and_answers_what_waits() {
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
    /// Triples, and says when it is dropped.
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
    let stage = stage(8);
    let (gone_in, gone) = sync_channel(2);
    let running = stage.lane.offer(item(1.0, later())).unwrap();
    stage.running.recv().unwrap();
    let waiting = stage.lane.offer(item(2.0, later())).unwrap();
    std::thread::scope(|scope| {
        let swap = scope
            .spawn(|| stage.lane.swap(Provider::Cuda { device: 0 }, vec![Box::new(Triple(gone_in.clone()))]));
        // The run that goes on is the old engine's to its end; what waits is the new one's.
        while stage.lane.slots[0].cores_per_run() != 0 {
            std::thread::yield_now();
        }
        stage.word.send("ok").unwrap();
        assert_eq!((value(running), value(waiting)), (2.0, 6.0));
        swap.join().unwrap();
    });
    assert_eq!(stage.lane.status().provider, "cuda");
    // An idle lane frees the old engine at once.
    stage.lane.swap(Provider::Cpu, vec![Box::new(Triple(gone_in))]);
    gone.recv().unwrap();
    assert_eq!(value(stage.lane.offer(item(5.0, later())).unwrap()), 15.0);
    assert_eq!((stage.lane.status().provider, stage.lane.slots[0].cores_per_run()), ("cpu", 1));
}
