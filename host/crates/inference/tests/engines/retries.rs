//! Retries of engine variants without quick retries: on request, and after a change of their inputs.

use super::*;

/// Installs a builder that fails, and counts its attempts, until the stage is repaired; then the real one.
fn failing(stage: &mut Stage) {
    let real: Vec<String> =
        building::builder_command().iter().map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let dir = stage.dir.path().display();
    stage.config.builder_command = shell(format!(
        "if [ -e {dir}/repaired ]; then exec {}; fi; echo once >> {dir}/tries; exit 3",
        real.join(" ")
    ));
    stage.config.retry_pause = Duration::from_millis(20);
    stage.config.watch_pause = Duration::from_millis(20);
}

fn repair(stage: &Stage) {
    std::fs::write(stage.dir.path().join("repaired"), "").unwrap();
}

fn attempts(stage: &Stage) -> usize {
    std::fs::read_to_string(stage.dir.path().join("tries")).unwrap().lines().count()
}

fn states(inference: &Inference) -> Vec<VariantState> {
    inference.engines().remove(0).variants.into_iter().map(|variant| variant.state).collect()
}

fn used_up(inference: &Inference) {
    let slow = |state: &VariantState| matches!(state, VariantState::Failed { slow: true, attempts: 3, .. });
    wait_for("the end of the quick retries", || states(inference).iter().all(slow));
}

#[test]
fn a_failed_build_is_retried_quickly_then_rarely_and_on_request() {
    let Some(mut stage) = stage(&["openvino/f32", "cpu"]) else { return };
    failing(&mut stage);
    let inference = open(&stage.config, LINE);
    used_up(&inference);
    assert_eq!(attempts(&stage), 6, "three for OpenVINO, three for the optimized graph");
    let VariantState::Failed { why, again, .. } = states(&inference).remove(0) else {
        panic!("the variant has not failed")
    };
    assert!(why.contains("exit status: 3"), "{why}");
    let pause = again - Instant::now();
    assert!(pause > Duration::from_secs(3000) && pause < Duration::from_secs(3601), "{pause:?}");
    assert_eq!(serving(&inference), ("cpu/f32".to_owned(), None), "the reference serves meanwhile");
    run(&inference, LINE, &[1, 3, 48, 192], &output(&inference, LINE));
    assert!(!inference.engines()[0].upgrading);

    // On request: the failures are reset, so quick retries follow.
    assert_eq!(inference.failed(Some(&"no-such".into())).unwrap_err().code, "model_unknown");
    let failed = inference.failed(None).unwrap();
    let variants: Vec<_> = failed.iter().map(|one| (one.model.as_str(), one.variant.as_str())).collect();
    assert_eq!(variants, [(LINE, "openvino/f32"), (LINE, "cpu/f32")]);
    inference.retry(&failed);
    used_up(&inference);
    assert_eq!(attempts(&stage), 12);
    // After the repair the engine serves.
    repair(&stage);
    inference.retry(&inference.failed(Some(&LINE.into())).unwrap());
    wait_for("the engine", || serving(&inference).0 == "openvino/f32" && !inference.engines()[0].upgrading);
    assert_eq!(
        states(&inference),
        [VariantState::Ready, VariantState::Missing],
        "the less preferred variant is not needed any more"
    );
    assert_eq!(inference.failed(None).unwrap(), []);
}

#[test]
fn an_imported_engine_serves_without_a_restart() {
    for builds in [true, false] {
        let Some(mut stage) = stage(&["openvino/f32", "cpu"]) else { return };
        let elsewhere =
            InferenceConfig { cache_dir: stage.dir.path().join("elsewhere"), ..stage.config.clone() };
        let elsewhere = Inference::start(elsewhere).unwrap();
        let built = elsewhere.order(Task::Build, &LINE.into(), "openvino/f32".parse().unwrap(), |_, _| {});
        let carried =
            elsewhere.cache().export(&built.unwrap().entry, &stage.dir.path().join("carried")).unwrap();

        failing(&mut stage);
        if !builds {
            stage.config.builder_command = Vec::new();
        }
        let inference = open(&stage.config, LINE);
        if builds {
            used_up(&inference);
        }
        assert_eq!(serving(&inference), ("cpu/f32".to_owned(), None));
        // Done by another process, from the plane's point of view.
        inference.cache().import(&carried).unwrap();
        wait_for("the imported engine", || serving(&inference).0 == "openvino/f32");
        if builds {
            assert_eq!(attempts(&stage), 6, "nothing was built for it");
        }
    }
}

#[test]
fn a_changed_description_triggers_a_retry_and_changed_weights_wait_for_the_next_opening() {
    let Some(mut stage) = stage(&["openvino/f32", "cpu"]) else { return };
    let weights = std::fs::read(stage.config.models_dir.join(DET).join("model.onnx")).unwrap();
    // No engine reaches this threshold.
    let strict = |text: String| text.replace("mask_agreement_min = 0.93", "mask_agreement_min = 1.1");
    stage.config.models_dir = catalog(&stage, DET, strict, weights.clone());
    stage.config.watch_pause = Duration::from_millis(20);
    let inference = open(&stage.config, DET);
    wait_for("the refusal", || states(&inference)[0] == VariantState::Refused);
    assert_eq!(serving(&inference).0, "cpu/f32");

    // Other weights under the same name: the open lane keeps its own.
    let real = InferenceConfig { models_dir: places::places().models_dir, ..stage.config.clone() };
    let real = Stage { config: real, dir: stage.dir };
    catalog(&real, DET, |text| text, perturbed(weights.clone(), 2, -0.7));
    let replaced =
        |state: &VariantState| matches!(state, VariantState::Excluded { why } if why.contains("replaced"));
    wait_for("the exclusion", || states(&inference).iter().any(replaced));
    assert_eq!(serving(&inference).0, "cpu/f32");

    // The old weights again, and a threshold that can be reached.
    catalog(&real, DET, |text| text, weights);
    wait_for("the engine by the new description", || serving(&inference).0 == "openvino/f32");
}
